"""What an installation asks of its engines: a JSON file named by ``RADFIND_ENGINES``.

``{"qwen3vl": {"model": "qwen3-vl-reranker-8b", "coarse": false}, "yoloe": {"tiling": 2}}``: for an engine of the
registry, keyword arguments of its class (and ``model`` of its ``create``). What is not named keeps its default.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from radfind.errors import InputError

VARIABLE = "RADFIND_ENGINES"


def options_of(engine: str, known: Collection[str]) -> dict[str, Any]:
    """The options of one engine; none without a file.

    Arguments:
        known: names of all engines.

    Raises:
        InputError: the file cannot be read, is not of that form, or names an engine that does not exist.
    """
    named = os.environ.get(VARIABLE)
    if not named:
        return {}
    try:
        held = json.loads(Path(named).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"The settings of the engines, {named} ({VARIABLE}), cannot be read: {error}") from error
    if not isinstance(held, dict) or not all(isinstance(options, dict) for options in held.values()):
        raise InputError(f'{named} ({VARIABLE}) must hold {{"engine": {{"option": value, ...}}, ...}}.')
    if unknown := set(held) - set(known):
        raise InputError(f"{named} ({VARIABLE}) names {', '.join(sorted(unknown))}; engines: {', '.join(known)}.")
    return dict(held.get(engine, {}))


def check_options(name: str, factory: str, options: Mapping[str, Any], taken: Collection[str] = ()) -> None:
    """Refuse options that an engine's class does not have, before any process is started.

    Arguments:
        factory: ``"module:class"``; imported only when there are options.
        taken: arguments of the class that are not options.

    Raises:
        InputError: an unknown option; the message lists those there are.
    """
    if not options:
        return
    module, _, attribute = factory.partition(":")
    arguments = inspect.signature(getattr(importlib.import_module(module), attribute)).parameters
    has = [one for one in arguments if one not in taken]
    if unknown := set(options) - set(has):
        raise InputError(
            f"The engine '{name}' has no option {', '.join(sorted(unknown))}; it has {', '.join(has) or 'none'}."
        )
