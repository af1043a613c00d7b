"""Are the prompts usable? Every refusal names the prompt."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from radfind.errors import PromptError
from radfind.prompts import BoxPrompt, LassoPrompt, MaskPrompt, PointPrompt, Prompt, ScribblePrompt
from radfind.volume import Volume

VISUAL = (PointPrompt, BoxPrompt, LassoPrompt, ScribblePrompt, MaskPrompt)


def checked(volume: Volume, prompts: Sequence[Prompt]) -> list[Prompt]:
    """The visual prompts in their order, repeats left out, boxes clipped to the image.

    Raises:
        PromptError: one lies outside the image, is empty, or contradicts another; or none says what belongs.
    """
    kept: list[Prompt] = []
    said: dict[tuple[int, int, int], tuple[bool, str]] = {}
    for number, prompt in enumerate(prompts, start=1):
        if isinstance(prompt, PointPrompt):
            name = f"Point {number} at {_shown(prompt.kji)}"
            _inside(volume, np.array([prompt.kji]), name)
            if _new(said, np.array([prompt.kji]), prompt.positive, name):
                kept.append(prompt)
        elif isinstance(prompt, ScribblePrompt):
            points = np.asarray(prompt.kji)
            name = f"Scribble {number}"
            if points.ndim != 2 or points.shape[1:] != (3,) or not len(points):
                raise PromptError(f"{name} is empty: it must hold painted voxels as (n, 3) indices k, j, i.")
            _inside(volume, points, name)
            if _new(said, points, prompt.positive, name):
                kept.append(prompt)
        elif isinstance(prompt, BoxPrompt):
            kept.append(_clipped(volume, prompt, f"Box {number}"))
        elif isinstance(prompt, LassoPrompt):
            kept.append(_on_slice(volume, prompt, f"Lasso {number}"))
        elif isinstance(prompt, MaskPrompt):
            if prompt.mask.shape != volume.geometry.shape:
                raise PromptError(
                    f"Mask {number} has {prompt.mask.shape} voxels but the image has {volume.geometry.shape}. "
                    "Resample it onto the image."
                )
            if not prompt.mask.any():
                raise PromptError(f"Mask {number} is empty: mark at least one voxel, or leave it out.")
            kept.append(prompt)
    if not any(getattr(prompt, "positive", True) for prompt in kept):
        raise PromptError(
            "All points and scribbles say what does not belong. Add a positive point, a box or a mask for what does."
        )
    return kept


def _inside(volume: Volume, kji: npt.NDArray, name: str) -> None:
    if not np.all(np.isfinite(kji)) or not np.all(volume.geometry.contains(kji)):
        raise PromptError(
            f"{name} lies outside the image, whose voxel indices (k, j, i) run from (0, 0, 0) to "
            f"{tuple(n - 1 for n in volume.geometry.shape)}. Place it on the image."
        )


def _new(said: dict[tuple[int, int, int], tuple[bool, str]], kji: npt.NDArray, positive: bool, name: str) -> bool:
    """Whether anything here was not said before; a voxel may not be both wanted and unwanted."""
    fresh = False
    for k, j, i in np.rint(kji).astype(int).tolist():
        before = said.get((k, j, i))
        if before is None:
            said[k, j, i] = (positive, name)
            fresh = True
        elif before[0] != positive:
            this, that = ("belongs", "does not belong") if positive else ("does not belong", "belongs")
            raise PromptError(
                f"{name} says that voxel {_shown((k, j, i))} {this}, but {before[1]} says that it {that}. Remove one."
            )
    return fresh


def _clipped(volume: Volume, box: BoxPrompt, name: str) -> BoxPrompt:
    start, stop = np.asarray(box.start, float), np.asarray(box.stop, float)
    last = np.asarray(volume.geometry.shape) - 1.0
    if not np.all(np.isfinite([start, stop])) or np.any(stop < -0.5) or np.any(start > last + 0.5):
        raise PromptError(f"{name} from {_shown(box.start)} to {_shown(box.stop)} lies outside the image. Move it.")
    (a, b, c), (d, e, f) = np.clip(start, 0, last).tolist(), np.clip(stop, 0, last).tolist()
    if (a == d) + (b == e) + (c == f) > 1:
        raise PromptError(f"{name} from {_shown(box.start)} to {_shown(box.stop)} has no area. Draw it larger.")
    return BoxPrompt((a, b, c), (d, e, f))


def _on_slice(volume: Volume, lasso: LassoPrompt, name: str) -> LassoPrompt:
    """The lasso on the nearest slice of voxels, clipped to the image."""
    line = np.asarray(lasso.kji, float)
    if line.ndim != 2 or line.shape[1:] != (3,) or len(line) < 3 or not np.all(np.isfinite(line)):
        raise PromptError(f"{name} must be the corners of a closed line, at least three, as (n, 3) indices k, j, i.")
    flat = np.flatnonzero(np.ptp(line, axis=0) <= 0.5)
    if len(flat) != 1:
        raise PromptError(
            f"{name} must surround an area on one slice: give all its corners the same k, j or i and spread them along "
            "the other two."
        )
    line[:, flat] = np.rint(line[:, flat].mean())
    last = np.asarray(volume.geometry.shape) - 1.0
    if np.any(line.max(axis=0) < -0.5) or np.any(line.min(axis=0) > last + 0.5):
        raise PromptError(f"{name} lies outside the image. Move it.")
    line = np.clip(line, 0.0, last)
    if np.sum(np.ptp(line, axis=0) > 0.5) != 2:
        raise PromptError(f"{name} has no area inside the image. Draw it larger.")
    return LassoPrompt(line)


def _shown(kji: Sequence[float]) -> str:
    return "(" + ", ".join(f"{float(x):g}" for x in kji) + ")"
