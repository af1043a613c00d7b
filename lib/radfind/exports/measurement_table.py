"""Measurements of segments as rows for a CSV table, units in the column names."""

from __future__ import annotations

from collections.abc import Sequence

from radfind.exports.coding import codes_of, side_of
from radfind.exports.table import Row
from radfind.measure.quantities import Measured
from radfind.volume import Volume


def measured_rows(measured: Sequence[Measured], volume: Volume) -> list[Row]:
    """One row per segment; ``*_uncertainty_*`` columns state what the voxel size leaves open."""
    rows: list[Row] = []
    for item in measured:
        codes = codes_of(item.segment)
        row: dict[str, str | int | float | None] = {
            "segment": item.segment.name,
            "code": codes.type.value,
            "code_scheme": codes.type.scheme,
            "side": side_of(item.segment),
            "place": item.place or None,
        }
        for quantity in item.quantities:
            row[quantity.name] = quantity.value
            if quantity.uncertainty is not None:
                stem, _, unit = quantity.name.rpartition("_")
                row[f"{stem}_uncertainty_{unit}"] = quantity.uncertainty
        row["diameter_slice_index"] = item.slice_index
        row["diameter_sop_instance_uid"] = volume.sop_instance_uid(item.slice_index)
        for number, point in enumerate(item.ends_lps[0], start=1):
            for axis, value in zip("LPS", point, strict=True):
                row[f"longest_end{number}_{axis}_mm"] = value
        rows.append(row)
    return rows
