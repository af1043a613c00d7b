"""All measurements of a segment: what tables, SR and FHIR are written from."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from radfind.errors import InputError, NotSupportedError
from radfind.imaging.photometric import SECTIONAL
from radfind.language.findings import Finding
from radfind.measure.clinical import clinical
from radfind.measure.density import density
from radfind.measure.diameters import SliceDiameters, ellipsoid_axes, greatest_diameter, slice_diameters
from radfind.measure.quantity import (
    AREA,
    ATTENUATION,
    DEVIATION,
    DIAMETER,
    HU,
    INTENSITY,
    LONG_AXIS,
    MAXIMUM,
    MEAN,
    MEDIAN,
    MINIMUM,
    MM,
    MM2,
    MM3,
    ONE,
    SHORT_AXIS,
    VOLUME,
    Quantity,
    own_code,
)
from radfind.measure.surface import Surface, surface
from radfind.results import Segment, Segmentation
from radfind.volume import Geometry, Volume

SIZE_REPEATABILITY_MM = 1.7
"""95 % limits between repeated readings of a nodule's diameter (Revel et al., Radiology 2004;231:453)."""


@dataclasses.dataclass(frozen=True, eq=False)
class Measured:
    """All measurements of one segment.

    Arguments:
        segment: what was measured.
        quantities: in the order of a report.
        slice_index: k of the slice in which the diameters lie.
        ends_lps: ends of the longest and of the perpendicular diameter, two each, LPS mm.
        notes: what could not be measured, and why.
        place: where it lies in words ("right, at T12 to L1"); "" when nobody looked (`measure.placement.placed`).
    """

    segment: Segment
    quantities: tuple[Quantity, ...]
    slice_index: int
    ends_lps: tuple[tuple[tuple[float, float, float], tuple[float, float, float]], ...]
    notes: tuple[str, ...] = ()
    place: str = ""

    def __getitem__(self, name: str) -> float:
        """The value of the quantity of that name; KeyError when it was not measured."""
        for quantity in self.quantities:
            if quantity.name == name:
                return quantity.value
        raise KeyError(name)


def measure(volume: Volume, segment: Segment) -> Measured:
    """Measure one segment: volume, diameters, surface, shape and, where values have a meaning, density.

    What the segment is adds to it (`measure.clinical`): the emphysema index of lungs, the solid part of a subsolid
    nodule, the Agatston score of coronary calcium. A picture without thickness (`is_flat`) has an area, no volume.

    Raises:
        InputError: the segment is empty, or lies on another grid than the volume.
    """
    mask = segment.mask
    axial = slice_diameters(mask, volume.geometry)
    if is_flat(volume):
        quantities = [_area(mask, volume.geometry), *_in_plane(axial, volume.geometry), *_densities(volume, mask)]
        return Measured(segment, tuple(quantities), axial.slice_index, (axial.ends_lps, axial.across_lps), (FLAT,))
    size, *others = _in_space(mask, volume.geometry)
    quantities = [size, *_in_plane(axial, volume.geometry), *others, *_densities(volume, mask)]
    special, notes = clinical(volume, segment)
    return Measured(
        segment, (*quantities, *special), axial.slice_index, (axial.ends_lps, axial.across_lps), tuple(notes)
    )


FLAT = "A projection or a single picture has an area but no volume; sizes are those in its plane."


def is_flat(volume: Volume) -> bool:
    """Whether a volume is one picture without a thickness: a radiograph, a photograph; not a slice of CT, MR or PET."""
    return volume.geometry.shape[0] == 1 and volume.modality not in SECTIONAL


def _area(mask: npt.NDArray[np.bool_], geometry: Geometry) -> Quantity:
    row, column = geometry.affine[:3, 0], geometry.affine[:3, 1]
    pixel = float(np.linalg.norm(np.cross(row, column)))
    return Quantity("area_mm2", float(np.count_nonzero(mask)) * pixel, AREA, MM2, _sampling_error(mask[0]) * pixel)


def _in_plane(axial: SliceDiameters, geometry: Geometry) -> list[Quantity]:
    half_diagonal = math.hypot(*geometry.spacing[1:]) / 2.0
    mean = own_code("mean_diameter", "Mean of long and short axis")
    return [
        Quantity("longest_diameter_mm", axial.longest_mm, LONG_AXIS, MM, half_diagonal),
        Quantity("perpendicular_diameter_mm", axial.perpendicular_mm, SHORT_AXIS, MM, half_diagonal),
        Quantity("mean_diameter_mm", axial.mean_mm, mean, MM, half_diagonal),
    ]


def _in_space(mask: npt.NDArray[np.bool_], geometry: Geometry) -> list[Quantity]:
    outline = surface(mask, geometry)
    greatest, _ = greatest_diameter(mask, geometry)
    counted = float(np.count_nonzero(mask)) * geometry.voxel_volume
    sampling = _sampling_error(mask) * geometry.voxel_volume
    half_diagonal = float(np.linalg.norm(geometry.spacing)) / 2.0
    within = own_code("surface_volume", "Volume within surface")
    axes = zip(("Major", "Middle", "Minor"), ellipsoid_axes(mask, geometry), strict=True)
    return [
        Quantity("volume_mm3", counted, VOLUME, MM3, sampling),
        Quantity("surface_volume_mm3", outline.volume_mm3, within, MM3, sampling),
        Quantity("greatest_diameter_mm", greatest, DIAMETER, MM, half_diagonal),
        *(
            Quantity(
                f"{title.lower()}_axis_mm",
                length,
                own_code(f"{title.lower()}_axis", f"{title} axis of equivalent ellipsoid"),
                MM,
                half_diagonal,
            )
            for title, length in axes
        ),
        Quantity("surface_area_mm2", outline.area_mm2, own_code("surface_area", "Surface area"), MM2),
        Quantity("sphericity", sphericity(outline), own_code("sphericity", "Sphericity"), ONE),
    ]


def measure_segments(volume: Volume, segmentation: Segmentation) -> list[Measured]:
    """Measure each segment that has voxels, in order. Raises as `measure`."""
    return [measure(volume, segment) for segment in segmentation.segments if segment.mask.any()]


def _densities(volume: Volume, mask: npt.NDArray[np.bool_]) -> list[Quantity]:
    try:
        found = density(volume, mask)
    except NotSupportedError:  # colour, or wholly in padding: there is a size but no density
        return []
    code, unit, end = (ATTENUATION, HU, "hu") if volume.modality == "CT" else (INTENSITY, ONE, "value")
    return [
        Quantity(f"mean_{end}", found.mean, code, unit, derivation=MEAN),
        Quantity(f"deviation_{end}", found.deviation, code, unit, derivation=DEVIATION),
        Quantity(f"minimum_{end}", found.minimum, code, unit, derivation=MINIMUM),
        Quantity(f"median_{end}", found.median, code, unit, derivation=MEDIAN),
        Quantity(f"maximum_{end}", found.maximum, code, unit, derivation=MAXIMUM),
    ]


def sphericity(outline: Surface) -> float:
    """Surface of the ball of equal volume over the surface (Wadell 1935): 1 for a ball, less for all else."""
    return float(np.pi ** (1 / 3) * (6.0 * outline.volume_mm3) ** (2 / 3) / outline.area_mm2)


def _sampling_error(mask: npt.NDArray[np.bool_]) -> float:
    """95 % half-width, in voxels (pixels, for a plane), of their count.

    Each voxel at the border is taken whole or not at all; what it misses is uniform, of standard deviation
    1/sqrt(12) (GUM 4.3.7), and independent of the others.
    """
    padded = np.pad(mask, 1)
    faces = sum(int(np.count_nonzero(np.diff(padded.view(np.int8), axis=axis))) for axis in range(mask.ndim))
    return 1.96 * math.sqrt(faces / 12.0)


@dataclasses.dataclass(frozen=True)
class SizeComparison:
    """A size a report names beside the measured one.

    Arguments:
        reported_mm, measured_mm: the same diameters of both, longest first.
        difference_mm: measured less reported, of the longest.
        tolerance_mm: how far two readings of one lesion may differ: reading to reading and voxel size together.
        agrees: all diameters are within the tolerance.
    """

    reported_mm: tuple[float, ...]
    measured_mm: tuple[float, ...]
    difference_mm: float
    tolerance_mm: float
    agrees: bool


def compare_sizes(measured: Measured, finding: Finding) -> SizeComparison | None:
    """The report's size beside the measured one; None when the finding names no size."""
    if not finding.sizes_mm:
        return None
    sizes = {q.name: q.value for q in measured.quantities}
    names = ("longest_diameter_mm", "perpendicular_diameter_mm", "minor_axis_mm")
    own = [sizes[name] for name in names if name in sizes]  # a flat picture has no third
    pairs = list(zip(finding.sizes_mm, own, strict=False))
    voxel = next(q.uncertainty or 0.0 for q in measured.quantities if q.name == "longest_diameter_mm")
    tolerance = math.hypot(SIZE_REPEATABILITY_MM, voxel)
    return SizeComparison(
        reported_mm=tuple(finding.sizes_mm),
        measured_mm=tuple(m for _, m in pairs),
        difference_mm=pairs[0][1] - pairs[0][0],
        tolerance_mm=tolerance,
        agrees=all(abs(m - r) <= tolerance for r, m in pairs),
    )


def require_segments(segments: tuple[Segment, ...]) -> None:
    """Raises InputError when there is no segment with voxels."""
    if not any(segment.mask.any() for segment in segments):
        raise InputError("The segmentation holds no voxel, so there is nothing to measure or export.")
