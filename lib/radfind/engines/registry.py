"""Which engines exist, which can answer now, and which one ``auto`` picks."""

from __future__ import annotations

import functools
import importlib
import inspect
from typing import Any

from radfind.engines import settings
from radfind.engines.api import EngineInfo
from radfind.errors import NotSupportedError

# name -> "module:factory", in the order in which ``auto`` prefers them for a task they are ready for.
# The built-in engine comes first: its answers carry checked evidence and it is always there.
ENGINES: dict[str, str] = {
    "builtin": "radfind.engines.builtin.engine:BuiltinEngine",
    "qwen3vl": "radfind.engines.qwen3vl:create",
    "ofa": "radfind.engines.ofa:create",
    "yoloe": "radfind.engines.yoloe:create",
    "remote_rerank": "radfind.engines.remote_rerank:create",
}


@functools.cache
def engine(name: str) -> Any:
    """The engine called `name`, with the installation's options (`settings`); built once per process.

    Raises:
        NotSupportedError: there is no such engine; the message lists those there are.
        InputError: the installation's options are wrong.
    """
    if name not in ENGINES:
        raise NotSupportedError(f"There is no engine called '{name}'. Engines: auto, {', '.join(ENGINES)}.")
    options = settings.options_of(name, ENGINES)
    module, attribute = ENGINES[name].split(":")
    factory = getattr(importlib.import_module(module), attribute)
    if inspect.isclass(factory):  # a function that makes the engine checks them itself
        settings.check_options(name, ENGINES[name], options)
    return factory(**options)


def infos() -> list[EngineInfo]:
    """What every engine says of itself, in preference order."""
    return [engine(name).info() for name in ENGINES]


def choose(name: str, task: str) -> tuple[Any, str]:
    """The engine to use for `task` ("segment", "rank", "verify") and a sentence saying which and why.

    Raises:
        NotSupportedError: the named engine cannot do the task or is not available, or none is.
    """
    if name != "auto":
        chosen = engine(name)
        info = chosen.info()
        if task not in info.tasks:
            able = [other.name for other in infos() if task in other.tasks]
            raise NotSupportedError(f"The engine '{name}' cannot {task}. Engines that can: {', '.join(able)}.")
        if not info.available:
            raise NotSupportedError(f"The engine '{name}' is not available: {info.unavailable_reason}")
        return chosen, f"{name} (as asked)"
    for candidate in ENGINES:
        info = engine(candidate).info()
        if task in info.tasks and info.available:
            return engine(candidate), f"{candidate} (chosen by auto: the first available engine that can {task})"
    raise NotSupportedError(
        f"No engine that can {task} is available. Run 'radfind engines' to see what each one needs."
    )
