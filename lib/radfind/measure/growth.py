"""Change between two dates."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from radfind.errors import InputError
from radfind.measure.quantities import Measured
from radfind.volume import Volume


@dataclasses.dataclass(frozen=True)
class Prior:
    """Sizes of an earlier scan, as `radfind measure --json` prints them.

    Arguments:
        date: of that scan.
        sizes: segment name to quantity name to (value, uncertainty).
    """

    date: dt.date
    sizes: Mapping[str, Mapping[str, tuple[float, float]]]


@dataclasses.dataclass(frozen=True)
class Change:
    """What became of one segment.

    Arguments:
        days: between the scans.
        volume_mm3, longest_mm: now less then.
        volume_share: now over then.
        doubling_time_days: see `doubling_time_days`; None when the change is no larger than what the voxel sizes of
            both scans leave open.
    """

    name: str
    days: int
    volume_mm3: float
    longest_mm: float
    volume_share: float
    doubling_time_days: float | None

    def wire(self) -> dict[str, Any]:
        """JSON-ready."""
        return dataclasses.asdict(self)

    def text(self) -> str:
        """One line for a person."""
        if self.doubling_time_days is None:
            growth = "no change beyond the voxel size"
        elif self.doubling_time_days > 0:
            growth = f"volume doubling time {self.doubling_time_days:.0f} days"
        else:
            growth = f"volume halving time {-self.doubling_time_days:.0f} days"
        return (
            f"{self.name}, after {self.days} days: volume {self.volume_share - 1:+.0%}, longest diameter "
            f"{self.longest_mm:+.1f} mm; {growth}"
        )


def read_prior(path: str | Path) -> Prior:
    """Read what `radfind measure --json` printed of an earlier scan.

    Raises:
        InputError: it is no such file, or its scan had no date.
    """
    try:
        told = json.loads(Path(path).read_text(encoding="utf-8"))
        date = told["date"]
        sizes = {
            str(s["name"]): {q["name"]: (float(q["value"]), float(q["uncertainty"] or 0.0)) for q in s["quantities"]}
            for s in told["segments"]
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"'{path}' is not what 'radfind measure --json' prints. Measure the earlier scan so, into a file."
        ) from error
    if date is None:
        raise InputError(f"The scan measured in '{path}' stated no date, so no time has passed since. Load its DICOM.")
    return Prior(dt.date.fromisoformat(date), sizes)


def date_of(volume: Volume) -> dt.date | None:
    """When a scan was made: the acquisition's date, else the series' or study's; None when none is stated."""
    for keyword in ("AcquisitionDate", "SeriesDate", "StudyDate"):
        try:
            return dt.datetime.strptime(volume.header.get(keyword, "").strip(), "%Y%m%d").date()
        except ValueError:
            continue
    return None


def changes(measured: Sequence[Measured], date: dt.date | None, prior: Prior) -> list[Change]:
    """The change of each segment that the earlier scan has by the same name.

    Raises:
        InputError: the dates are missing or not in order, or no segment has a prior.
    """
    if date is None:
        raise InputError("This scan states no date, so growth cannot be told. Load the DICOM series.")
    found = []
    for item in measured:
        then = prior.sizes.get(item.segment.name)
        if then is None or "volume_mm3" not in {q.name for q in item.quantities}:
            continue
        volumes = then["volume_mm3"][0], item["volume_mm3"]
        time = doubling_time_days(*volumes, prior.date, date)
        own = next(q.uncertainty or 0.0 for q in item.quantities if q.name == "volume_mm3")
        measurable = abs(volumes[1] - volumes[0]) > math.hypot(own, then["volume_mm3"][1])
        found.append(
            Change(
                item.segment.name,
                (date - prior.date).days,
                volumes[1] - volumes[0],
                item["longest_diameter_mm"] - then["longest_diameter_mm"][0],
                volumes[1] / volumes[0],
                time if measurable else None,
            )
        )
    if not found:
        raise InputError(f"No segment has the name of one measured before ({', '.join(prior.sizes)}).")
    return found


def doubling_time_days(first_mm3: float, second_mm3: float, first: dt.date, second: dt.date) -> float:
    """Volume doubling time in days: t ln 2 / ln(V2 / V1) (Schwartz, Cancer 1961;14:1272).

    Negative when the lesion shrinks (the time in which it halves), infinite when it stays.

    Raises:
        InputError: a volume is not positive, or the dates are not in order.
    """
    if min(first_mm3, second_mm3) <= 0 or not math.isfinite(first_mm3 + second_mm3):
        raise InputError("A doubling time needs two volumes above zero; one of them is not.")
    days = (second - first).days
    if days <= 0:
        raise InputError(f"The second date ({second}) must be later than the first ({first}).")
    growth = math.log(second_mm3 / first_mm3)
    return math.inf if growth == 0 else days * math.log(2.0) / growth
