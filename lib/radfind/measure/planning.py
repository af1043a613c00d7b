"""A resection plan: what to remove around a lesion, what stays, what lies near, and the ways in from the skin."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from radfind.errors import InputError, NotSupportedError
from radfind.measure.body import body_of
from radfind.measure.distances import Distance, centroid, distance_between
from radfind.measure.margins import Directions, Resection, margin, resection
from radfind.measure.quantities import is_flat
from radfind.measure.trajectories import Trajectory, trajectories
from radfind.results import Segment
from radfind.volume import Volume

_BLOCKING = 5  # so many of the nearest structures are tried alone when no way is found


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """What was planned for one lesion.

    Arguments:
        lesion: what is to be removed or reached.
        organ: in which it lies, or None.
        margin: the lesion grown by the safety margin, clipped by the organ where one was named.
        resection: what removing the margin takes and leaves of the organ; None without an organ.
        distances: from the lesion to each spared structure, nearest first.
        ways: straight ways from the skin to the lesion's centre, best first.
        notes: what limits these numbers.
    """

    lesion: Segment
    organ: Segment | None
    margin: Segment
    resection: Resection | None
    distances: Mapping[str, Distance]
    ways: tuple[Trajectory, ...]
    notes: tuple[str, ...] = ()


def plan(
    volume: Volume,
    lesion: Segment,
    *,
    organ: Segment | None = None,
    spared: Sequence[Segment] = (),
    margin_mm: float | Directions = 10.0,
    max_length_mm: float = 150.0,
    min_clearance_mm: float = 3.0,
    ways: int = 5,
) -> Plan:
    """Plan the removal of, or a straight way to, `lesion`.

    Arguments:
        organ: clips the margin, and its remnant is stated.
        spared: what must not be hit: vessels, bowel, ribs. They are not resected either: where the margin meets one, a
            note says so.
        margin_mm: all round, or per direction of the patient.
        max_length_mm, min_clearance_mm: of the ways, see `measure.trajectories`.
        ways: at most this many; 0 looks for none.

    Raises:
        InputError: a segment is empty or does not fit the volume.
        NotSupportedError: the scan is a projection, a single picture or a loop.
    """
    if is_flat(volume) or not volume.placed:
        raise NotSupportedError(
            f"A plan needs a scan in space; this is a {volume.modality} picture or loop. Give CT or MR."
        )
    geometry = volume.geometry
    size = margin_mm if isinstance(margin_mm, Directions) else float(margin_mm)
    named = "per direction" if isinstance(size, Directions) else f"{size:g} mm"
    within = organ.mask | lesion.mask if organ is not None else None
    grown = Segment(f"margin {named}", margin(lesion.mask, geometry, size, within=within), color=(255, 220, 0))
    left = resection(organ.mask, lesion.mask, grown.mask, geometry) if organ is not None else None
    others = {s.name: s.mask for s in spared if s.mask.any()}
    near = {name: distance_between(lesion.mask, mask, geometry) for name, mask in others.items()}
    notes = [
        f"{s.name} reaches the border of the scan: its numbers are of the part in it."
        for s in (lesion, *((organ,) if organ is not None else ()))
        if s.mask.any() and at_border(s.mask)
    ]
    notes += [f"The margin meets {name}." for name, mask in others.items() if (mask & grown.mask & ~lesion.mask).any()]
    found: list[Trajectory] = []
    if ways:
        try:
            body = body_of(volume)
        except NotSupportedError as error:
            notes.append(f"No way from the skin was looked for. {error}")
        else:
            ways_past = functools.partial(
                trajectories,
                centroid(lesion.mask, geometry),
                body,
                geometry=geometry,
                max_length_mm=max_length_mm,
                min_clearance_mm=min_clearance_mm,
            )
            found = ways_past(others, count=ways)
            if not found:
                nearest = sorted(others, key=lambda name: near[name].minimum_mm)[:_BLOCKING]
                alone = {name: {name: others[name]} for name in nearest}
                blocking = [name for name, one in alone.items() if not ways_past(one, count=1)]
                notes.append(_no_way(blocking, max_length_mm, min_clearance_mm))
    ordered = dict(sorted(near.items(), key=lambda item: item[1].minimum_mm))
    return Plan(lesion, organ, grown, left, ordered, tuple(found), tuple(notes))


def _no_way(blocking: Sequence[str], max_length_mm: float, min_clearance_mm: float) -> str:
    reason = f" Each of these alone leaves none: {', '.join(blocking)}." if blocking else ""
    return f"No straight way of {max_length_mm:g} mm keeps {min_clearance_mm:g} mm from what is spared.{reason}"


def at_border(mask: npt.NDArray[np.bool_]) -> bool:
    """Whether a structure goes on, or may go on, where the scan ends: a remnant's share is then of a part only."""
    return any(bool(np.take(mask, end, axis).any()) for axis in range(3) for end in (0, -1))


def directions_of(text: str) -> float | Directions:
    """A margin as written: ``10``, or ``left=5,superior=12`` (millimetres; directions not named get 0).

    Raises:
        InputError: it is neither.
    """
    names = [field.name for field in dataclasses.fields(Directions)]
    try:
        if "=" not in text:
            return float(text)
        parts = [part.partition("=") for part in text.split(",") if part.strip()]
        return Directions(**{_direction(name, names): float(value) for name, _, value in parts})
    except ValueError as error:
        raise InputError(
            f"'{text}' is no margin. Write millimetres (10), or millimetres per direction (left=5,superior=12); "
            f"directions are {', '.join(names)}."
        ) from error


def _direction(name: str, names: Sequence[str]) -> str:
    if name.strip() not in names:
        raise ValueError(name)
    return name.strip()
