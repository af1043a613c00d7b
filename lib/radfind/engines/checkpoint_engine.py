"""An engine that is a folder of weights and a class that reads them: what it says of itself, and how it is hosted."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from radfind.engines import weights
from radfind.engines.api import EngineInfo
from radfind.engines.devices import gpus_or_cpu
from radfind.engines.extras import missing_packages
from radfind.engines.host import HostedEngine
from radfind.engines.settings import check_options
from radfind.engines.slice_images import MODALITIES


@dataclasses.dataclass(frozen=True)
class CheckpointEngine:
    """What is the same for every engine whose weights are one folder.

    Arguments:
        name, tasks, licence: as in `EngineInfo`.
        extra, packages: the optional extra of this package, and what it must have brought.
        models: names of the weights it can use (`radfind.engines.weights`), preferred first.
        factory: ``"module:class"`` of the engine, which takes ``folder=`` and ``device=``.
        environment: variables set in its workers.
    """

    name: str
    tasks: tuple[str, ...]
    licence: str
    extra: str
    packages: tuple[str, ...]
    models: tuple[str, ...]
    factory: str
    environment: Mapping[str, str]

    def hosted(self, model: str | None, options: Mapping[str, Any]) -> HostedEngine:
        """The engine in worker processes of its own.

        Arguments:
            model: a name of `models`, by default the first whose weights are here; or a folder.
            options: of the engine's class (without ``folder`` and ``device``).

        Raises:
            InputError: an option the class does not have.
        """
        check_options(self.name, self.factory, options, taken=("folder", "device"))
        return HostedEngine(
            self.factory,
            lambda: {"folder": self._folder(model), **options},
            describe=lambda: self.describe(model),
            devices=gpus_or_cpu(),
            environment=self.environment,
        )

    def describe(self, model: str | None) -> EngineInfo:
        """What the engine covers, and what is missing; imports nothing heavy."""
        reason = missing_packages(self.extra, self.packages)
        if not reason and self._folder(model) is None:
            known = model is None or model in weights.MODELS
            reason = weights.missing(model or self.models[0]) if known else f"there is no folder {model}."
        return EngineInfo(
            name=self.name,
            tasks=self.tasks,
            modalities=MODALITIES,
            prompts=("TextPrompt",),
            concepts=None,
            licence=self.licence,
            device=gpus_or_cpu()[0],
            available=not reason,
            unavailable_reason=reason,
        )

    def _folder(self, model: str | None) -> Path | None:
        if model is not None and model not in weights.MODELS:
            return Path(model) if Path(model).is_dir() else None
        found = (weights.find(name) for name in ((model,) if model else self.models))
        return next((folder for folder in found if folder is not None), None)
