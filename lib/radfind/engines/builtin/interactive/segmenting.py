"""Visual prompts, in the order in which they were made, to one segment; a session's earlier work is kept warm."""

from __future__ import annotations

import dataclasses
import hashlib
import threading
import weakref
from collections import OrderedDict
from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from radfind.engines.api import Context
from radfind.engines.builtin.interactive.boxes import Region
from radfind.engines.builtin.interactive.checks import checked
from radfind.engines.builtin.interactive.clicks import closed, locate, outline_click
from radfind.engines.builtin.interactive.edits import Mask, State, add_clicks, add_region, middle_one
from radfind.engines.builtin.interactive.patch import Patch
from radfind.engines.builtin.interactive.scribbles import add_scribbles, refine_mask
from radfind.prompts import BoxPrompt, LassoPrompt, MaskPrompt, PointPrompt, Prompt, ScribblePrompt
from radfind.refine.cleaning import clean, recipe_for
from radfind.results import Evidence, Segment, Segmentation
from radfind.volume import Volume

REACH_MM, FAR_MM = 40.0, 110.0
"""How far from a click a lesion, or an organ, may reach."""

_ORGAN_MM = 26.0
"""An object of this radius is looked at again from further away, in blocks of `_BLOCK_MM`."""

_BLOCK_MM = 2.0
_MANY = 16
"""More clicks than this are taken together, the worst first: a bound on time."""

_SESSIONS = 16


@dataclasses.dataclass(frozen=True, eq=False)
class _Kept:
    """The state after some prompts, and the patch it lies on."""

    patch: Patch
    state: State


class Interactive:
    """Outlines what points, boxes, lassos, scribbles and masks show. Safe to call from several threads.

    The last `_SESSIONS` states are kept, so that a further prompt costs only its own work.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._numbers: weakref.WeakKeyDictionary[Volume, int] = weakref.WeakKeyDictionary()
        self._next = 0

    def segment(self, volume: Volume, prompts: Sequence[Prompt], *, context: Context, engine: str) -> Segmentation:
        """One segment from all visual prompts together.

        Raises:
            PromptError: a prompt lies outside the image or contradicts another.
        """
        steps = _grouped(checked(volume, prompts))
        keys = self._keys(volume, steps)
        done, kept = self._longest(keys)
        patch, state = (kept.patch, kept.state) if kept else (None, None)
        needed = _extent(volume, [prompt for step in steps for prompt in step])
        step_mm = 0.0 if patch is None or patch.spacing == volume.geometry.spacing else _BLOCK_MM
        if patch is None or not _covers(patch, volume, needed):
            patch, state = _moved(volume, needed, step_mm, patch, state)
        assert state is not None
        for number in range(done, len(steps)):
            context.step(number / len(steps), "outlining")
            patch, state = _apply(volume, patch, state, steps[number], alone=len(steps) == 1)
            self._keep(keys[number], _Kept(patch, state))
        context.step(1.0, "done")
        return _result(volume, patch, state, prompts, engine)

    def _keys(self, volume: Volume, steps: list[list[Prompt]]) -> list[Hashable]:
        """One key for each step and all before it."""
        with self._lock:
            if volume not in self._numbers:
                self._next += 1
                self._numbers[volume] = self._next
            key: Hashable = self._numbers[volume]
        keys: list[Hashable] = []
        for step in steps:
            key = (key, tuple(_key(prompt) for prompt in step))
            keys.append(key)
        return keys

    def _longest(self, keys: list[Hashable]) -> tuple[int, _Kept | None]:
        with self._lock:
            for done in range(len(keys), 0, -1):
                if keys[done - 1] in self._kept:
                    self._kept.move_to_end(keys[done - 1])
                    return done, self._kept[keys[done - 1]]
        return 0, None

    def _keep(self, key: Hashable, kept: _Kept) -> None:
        with self._lock:
            self._kept[key] = kept
            while len(self._kept) > _SESSIONS:
                self._kept.popitem(last=False)


def _key(prompt: Prompt) -> Hashable:
    if isinstance(prompt, ScribblePrompt):
        return ("scribble", prompt.positive, hashlib.blake2b(np.ascontiguousarray(prompt.kji).tobytes()).digest())
    if isinstance(prompt, LassoPrompt):
        return ("lasso", np.ascontiguousarray(prompt.kji).tobytes())
    if isinstance(prompt, MaskPrompt):
        return ("mask", hashlib.blake2b(np.packbits(prompt.mask).tobytes()).digest())
    return prompt


def _grouped(prompts: list[Prompt]) -> list[list[Prompt]]:
    """Prompts that are answered together: neighbouring scribbles, and clicks when there are very many."""
    many = sum(isinstance(prompt, PointPrompt) for prompt in prompts) > _MANY
    together = (ScribblePrompt, PointPrompt) if many else (ScribblePrompt,)
    steps: list[list[Prompt]] = []
    for prompt in prompts:
        if steps and isinstance(prompt, together) and type(prompt) is type(steps[-1][-1]):
            steps[-1].append(prompt)
        else:
            steps.append([prompt])
    return steps


def _extent(volume: Volume, prompts: list[Prompt]) -> tuple[npt.NDArray, npt.NDArray]:
    """The voxels (low, high) that the prompts speak about, with what they may reach."""
    spacing = np.asarray(volume.geometry.spacing)
    lows, highs = [], []
    for prompt in prompts:
        if isinstance(prompt, PointPrompt):
            low, high, margin = np.asarray(prompt.kji), np.asarray(prompt.kji), REACH_MM
        elif isinstance(prompt, BoxPrompt):
            low, high = np.asarray(prompt.start), np.asarray(prompt.stop)
            margin = 5.0 + 0.5 * float(((high - low) * spacing).max())
        elif isinstance(prompt, LassoPrompt):
            low, high = prompt.kji.min(axis=0), prompt.kji.max(axis=0)
            margin = 5.0 + 0.75 * float(((high - low) * spacing).max())
        elif isinstance(prompt, ScribblePrompt):
            low, high = prompt.kji.min(axis=0), prompt.kji.max(axis=0)
            margin = 15.0 + 0.7 * float(((high - low) * spacing).max())
        elif isinstance(prompt, MaskPrompt):
            hits = [np.flatnonzero(prompt.mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
            low, high = np.array([h[0] for h in hits]), np.array([h[-1] for h in hits])
            margin = 20.0
        else:
            continue
        lows.append(low - margin / spacing)
        highs.append(high + margin / spacing)
    limit = np.asarray(volume.geometry.shape) - 1
    return np.clip(np.min(lows, axis=0), 0, limit), np.clip(np.max(highs, axis=0), 0, limit)


def _covers(patch: Patch, volume: Volume, needed: tuple[npt.NDArray, npt.NDArray]) -> bool:
    spacing = np.asarray(volume.geometry.spacing)
    first = np.asarray(patch.start)
    last = first + np.asarray(patch.array.shape) * patch.spacing / spacing
    return bool(np.all(first <= needed[0] + 1) and np.all(last >= needed[1] - 1))


def _moved(
    volume: Volume, needed: tuple[npt.NDArray, npt.NDArray], step_mm: float, patch: Patch | None, state: State | None
) -> tuple[Patch, State]:
    """A patch that covers what is needed and what was covered, with the state carried over."""
    low, high = needed
    if patch is not None:
        low = np.minimum(low, patch.start)
        size = np.asarray(patch.array.shape) * patch.spacing / np.asarray(volume.geometry.spacing)
        high = np.maximum(high, np.asarray(patch.start) + size - 1)
    new = Patch.around(volume, low, high, 0.0, step_mm=step_mm)
    mask = np.zeros(new.array.shape, bool)
    if patch is not None and state is not None:
        index = np.argwhere(state.mask) * patch.spacing + patch.origin
        place = np.rint((index - new.origin) / new.spacing).astype(int)
        place = place[np.all((place >= 0) & (place < mask.shape), axis=1)]
        mask[tuple(place.T)] = True
    return new, dataclasses.replace(state, mask=mask) if state is not None else State(mask)


def _apply(volume: Volume, patch: Patch, state: State, step: list[Prompt], *, alone: bool) -> tuple[Patch, State]:
    first = step[0]
    spacing = np.asarray(volume.geometry.spacing)
    if isinstance(first, BoxPrompt):
        start, stop = np.asarray(first.start), np.asarray(first.stop)
        rim = np.where(start == stop, 0.0, 0.5)
        return patch, add_region(state, patch, Region((start - rim) * spacing, (stop + rim) * spacing))
    if isinstance(first, LassoPrompt):
        line = np.asarray(first.kji) * spacing
        low, high = line.min(axis=0), line.max(axis=0)
        return patch, add_region(state, patch, Region(low, high, line[:, high > low]))
    if isinstance(first, PointPrompt):
        clicks = [prompt for prompt in step if isinstance(prompt, PointPrompt)]
        wanted = np.array([c.kji for c in clicks if c.positive]).reshape(-1, 3) * spacing
        unwanted = np.array([c.kji for c in clicks if not c.positive]).reshape(-1, 3) * spacing
        reach = REACH_MM
        new = len(wanted) and state.surface is None and not state.mask.any()
        if new:
            low, high = wanted.min(axis=0) - FAR_MM, wanted.max(axis=0) + FAR_MM
            if locate(patch, middle_one(wanted), REACH_MM)[1] > _ORGAN_MM:
                reach = FAR_MM
            elif 1 in patch.array.shape:
                # The millimetres of a single image are often unknown: what is closed from afar is what was meant.
                afar = Patch.around(volume, low / spacing, high / spacing, 0.0, step_mm=_BLOCK_MM)
                reach = max(
                    (REACH_MM, patch), (FAR_MM, afar), key=lambda view: _closed(view[0], view[1], middle_one(wanted))
                )[0]
            if reach == FAR_MM:
                patch, state = _moved(volume, (low / spacing, high / spacing), _BLOCK_MM, None, None)
        return patch, add_clicks(state, patch, wanted, unwanted, reach)
    if isinstance(first, MaskPrompt):
        mask = state.mask | _on_patch(patch, volume, np.argwhere(first.mask))
        return patch, dataclasses.replace(state, mask=refine_mask(patch, mask) if alone else mask, surface=None)
    painted: dict[bool, list[npt.NDArray]] = {True: [], False: []}
    for prompt in step:
        if isinstance(prompt, ScribblePrompt):
            painted[prompt.positive].append(np.asarray(prompt.kji))
    fore, back = (
        _on_patch(patch, volume, np.concatenate(painted[sign]) if painted[sign] else np.zeros((0, 3)))
        for sign in (True, False)
    )
    return patch, add_scribbles(state, patch, fore, back & ~fore)


def _closed(reach: float, patch: Patch, click: npt.NDArray) -> float:
    return closed(patch, outline_click(patch, click, reach)[0])


def _on_patch(patch: Patch, volume: Volume, kji: npt.NDArray) -> Mask:
    """Volume voxels (n, 3) as a mask on the patch."""
    mask = np.zeros(patch.array.shape, bool)
    index = np.rint((kji * np.asarray(volume.geometry.spacing) - patch.origin) / patch.spacing).astype(int)
    index = index[np.all((index >= 0) & (index < mask.shape), axis=1)]
    mask[tuple(index.T)] = True
    return mask


def _result(volume: Volume, patch: Patch, state: State, prompts: Sequence[Prompt], engine: str) -> Segmentation:
    mask = _cleaned(volume, patch, state, prompts)
    full = np.zeros(volume.geometry.shape, bool)
    factors = np.rint(np.asarray(patch.spacing) / volume.geometry.spacing).astype(int)
    fine = _refined(mask, factors)
    k, j, i = (slice(s, min(s + n, t)) for s, n, t in zip(patch.start, fine.shape, full.shape, strict=True))
    full[k, j, i] = fine[: k.stop - k.start, : j.stop - j.start, : i.stop - i.start]
    inside = volume.array[full]
    slices = np.flatnonzero(full.any(axis=(1, 2)))
    ml = float(full.sum()) * volume.geometry.voxel_volume / 1000.0
    names = ", ".join(sorted({type(p).__name__.removesuffix("Prompt").lower() for p in prompts}))
    if not slices.size:
        return Segmentation(volume.geometry, not_found=("Nothing is left of the object.",), engine=engine)
    evidence = Evidence(
        text=f"outlined from {names}: {ml:.2f} ml, slices {slices[0]} to {slices[-1]}",
        mask=full,
        slices=(int(slices[0]), int(slices[-1])),
        values={"volume_ml": ml, "mean_value": float(inside.mean())},
    )
    segment = Segment(name="object", mask=full, prompt=names, evidence=(evidence,))
    return Segmentation(volume.geometry, (segment,), engine=engine, notes=tuple(volume.warnings))


def _cleaned(volume: Volume, patch: Patch, state: State, prompts: Sequence[Prompt]) -> Mask:
    """The mask as a solid thing is cleaned (`radfind.refine`), except where a person said otherwise.

    What clicks and boxes gave is the inside of a smooth surface and only has its holes filled; what a random walk over
    voxels gave is also closed and smoothed.
    """
    recipe = dataclasses.replace(recipe_for(None), parts="all")
    if state.surface is not None:
        recipe = dataclasses.replace(recipe, close_mm=0.0, smooth_mm=0.0)
    mask = clean(state.mask, patch.spacing, recipe)
    said: dict[bool, list[npt.NDArray]] = {True: [], False: []}
    for prompt in prompts:
        if isinstance(prompt, PointPrompt):
            said[prompt.positive].append(np.array([prompt.kji]))
        elif isinstance(prompt, ScribblePrompt):
            said[prompt.positive].append(np.asarray(prompt.kji))
    for positive, places in said.items():
        spoken = _on_patch(patch, volume, np.concatenate(places)) if places else np.zeros(mask.shape, bool)
        if not positive and np.any(spoken & ~state.mask & mask):
            mask = mask & state.mask  # a hole or a gap that a person made stays
        mask = np.where(spoken & (state.mask == positive), positive, mask)
    return mask


def _refined(mask: Mask, factors: npt.NDArray[np.int_]) -> Mask:
    """A mask of blocks on single voxels, its steps smoothed."""
    if factors.max() == 1:
        return mask
    from scipy import ndimage

    scale = 1.0 / factors
    shape = tuple(int(n * f) for n, f in zip(mask.shape, factors, strict=True))
    smooth = ndimage.gaussian_filter(mask.astype(np.float32), 0.6)
    return np.asarray(
        ndimage.affine_transform(smooth, scale, 0.5 * scale - 0.5, output_shape=shape, order=1, mode="nearest") > 0.5
    )
