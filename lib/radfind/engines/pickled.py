"""Published checkpoints that are pickles, read without running anything they hold."""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from radfind.errors import EngineError

_NUMBERS = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype", "_codecs.encode")
"""How a numpy number (a score kept beside the weights, say) is written; none of them does anything else."""


def load_pickled(file: Path, trusted: Sequence[str]) -> Any:
    """What a ``torch.save`` file holds, on the CPU.

    Arguments:
        trusted: beginnings of the full names of the classes it may refer to, beside tensors, numbers and plain
            containers. Everything else is refused before anything is built.

    Raises:
        EngineError: it refers to something else, which could run code; or is no such file.
    """
    import numpy as np
    import torch

    try:
        named = torch.serialization.get_unsafe_globals_in_checkpoint(file)
        refused = [name for name in named if name not in _NUMBERS and not name.startswith(tuple(trusted))]
        if refused:
            raise EngineError(
                f"{file} was not loaded: beside weights it refers to {', '.join(refused[:3])}, which could run code. "
                "Convert it to safetensors on a machine you can spare."
            )
        allowed: list[Any] = [(_called(name), name) for name in named]
        allowed += [type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8")]
        with torch.serialization.safe_globals(allowed):
            return torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, KeyError, AttributeError, ValueError, ImportError, pickle.UnpicklingError) as error:
        raise EngineError(f"{file} cannot be read as a checkpoint: {error}") from error


def _called(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)
