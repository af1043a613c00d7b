"""Structures brought from annotated cases onto a new one: fused where several speak, refused where none is alike."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from radfind.engines.api import Context
from radfind.engines.builtin.by_example.appearance import settled
from radfind.engines.builtin.by_example.grids import to_image
from radfind.engines.builtin.by_example.registration import Carried, Registration
from radfind.errors import PromptError
from radfind.language.lexicon import default_lexicon
from radfind.prompts import ExemplarPrompt
from radfind.refine.cleaning import clean, recipe_for
from radfind.results import Evidence, Segment, Segmentation
from radfind.volume import Volume

ALIKE = 0.15
"""Least likeness around the structure: unrelated regions reach 0.02 to 0.1 by chance, CT to MR of one patient 0.2."""

_SHARP = 0.6
"""From this likeness on, registration is more exact than densities: organs on deformed copies of one patient, in CT or
in a made-up contrast, lie at 0.65 to 0.94 and lose by `settled`; those of another patient in MR lie at 0.2 to 0.6 and
win."""

KEPT = (0.3, 3.0)
"""How much smaller or larger a structure may become on its way; beyond this it ran out of the scan or tore."""


class ByExample:
    """Answers exemplar prompts. The registrations of the last target are kept: a second structure is quick."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done: weakref.WeakKeyDictionary[Volume, weakref.WeakKeyDictionary[Volume, Registration]] = (
            weakref.WeakKeyDictionary()
        )

    def segment(
        self, volume: Volume, examples: Sequence[ExemplarPrompt], *, context: Context, engine: str
    ) -> Segmentation:
        """One segment for each name among the examples; those of one name are fused.

        Raises:
            PromptError: an example's mask is empty or does not fit its volume.
            NotSupportedError: itk-elastix is not installed.
        """
        named: dict[str, list[ExemplarPrompt]] = {}
        for example in examples:
            _check(example)
            named.setdefault(example.name, []).append(example)
        segments, missing, notes = [], [], []
        done = 0
        for name, cases in named.items():
            carried = []
            for case in cases:
                registration = self._registration(case.volume, volume, context.part(done / len(examples), 1.0))
                carried.append((registration, registration.carry(case.mask, case.volume)))
                done += 1
                context.step(done / len(examples), f"example {done}")
            segment, told = _fused(volume, name, cases, carried)
            notes.append(told)
            if segment is None:
                missing.append(told)
            else:
                segments.append(segment)
        return Segmentation(
            volume.geometry, tuple(segments), not_found=tuple(missing), engine=engine, notes=tuple(notes)
        )

    def _registration(self, source: Volume, target: Volume, context: Context) -> Registration:
        with self._lock:
            known = self._done.setdefault(target, weakref.WeakKeyDictionary())
            if source not in known:
                known[source] = Registration(source, target, context)
            return known[source]


def _check(example: ExemplarPrompt) -> None:
    if example.mask.shape != example.volume.geometry.shape:
        raise PromptError(
            f"The mask of the example '{example.name}' has {example.mask.shape} voxels, its image "
            f"{example.volume.geometry.shape}. Give the mask on the example's own grid."
        )
    if not example.mask.any():
        raise PromptError(f"The mask of the example '{example.name}' is empty: nothing is shown by it.")


def _fused(
    volume: Volume, name: str, cases: Sequence[ExemplarPrompt], carried: Sequence[tuple[Registration, Carried]]
) -> tuple[Segment | None, str]:
    """The votes of the examples that are alike, weighted by how alike they are (Artaechevarria et al., IEEE TMI
    2009), and a sentence on what came of it."""
    voters = [(r, c) for r, c in carried if c.likeness >= ALIKE and KEPT[0] <= c.kept <= KEPT[1]]
    best = max(c.likeness for _, c in carried)
    if not voters:
        lost = max(c.kept for _, c in carried) < KEPT[0]
        why = "the place of the structure lies outside this scan" if lost else f"likeness {best:.2f}, needed {ALIKE}"
        return None, f"'{name}': no match among {len(cases)} example(s): {why}."
    weights = np.array([c.likeness**2 for _, c in voters])
    votes = sum(w * c.chance for w, (_, c) in zip(weights / weights.sum(), voters, strict=True))
    fixed = voters[0][0].fixed
    chance = np.asarray(votes, np.float32)
    if best < _SHARP:
        chance = settled(sitk.GetArrayFromImage(fixed), chance, fixed.GetSpacing()[::-1])
    mask = _on_volume(chance, fixed, volume)
    if not mask.any():
        return None, f"'{name}': no match: nothing is left of the structure on this scan's grid."
    concept = default_lexicon().lookup(name)
    mask = clean(mask, volume.geometry.spacing, recipe_for(concept))
    slices = np.flatnonzero(mask.any(axis=(1, 2)))
    sources = ", ".join(dict.fromkeys(case.volume.name or "unnamed" for case in cases))
    text = f"{name} by example from {len(voters)} of {len(cases)} case(s) ({sources}), likeness {best:.2f}"
    evidence = Evidence(
        text=text, mask=mask, slices=(int(slices[0]), int(slices[-1])), values={"likeness": best, "cases": len(voters)}
    )
    color = concept.color if concept else (230, 180, 60)
    return Segment(
        name, mask, concept=concept, color=color, score=min(1.0, best), prompt=f"example: {name}", evidence=(evidence,)
    ), text


def _on_volume(chance: npt.NDArray[np.float32], grid: sitk.Image, volume: Volume) -> npt.NDArray[np.bool_]:
    """Votes of the working grid on the volume's own voxels."""
    image = sitk.GetImageFromArray(chance)
    image.CopyInformation(grid)
    oriented = volume.oriented("LPS")
    reference = to_image(np.zeros(oriented.geometry.shape, np.uint8), oriented)
    fine = sitk.Resample(image, reference, sitk.Transform(), sitk.sitkLinear, 0.0)
    return np.asarray(volume.restore(sitk.GetArrayFromImage(fine) > 0.5))
