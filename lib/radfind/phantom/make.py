"""`make_phantom`: a synthetic chest CT with exact truth."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

from radfind.phantom.confounders import MOTION_MM, Confounder
from radfind.phantom.lesions import LOBES, PLEURAL, LesionSpec
from radfind.phantom.paint import coverage, paint
from radfind.phantom.patient import euler
from radfind.phantom.report import Statement, write_report
from radfind.phantom.scene import Scene
from radfind.phantom.shapes import Field
from radfind.phantom.view import View
from radfind.volume import Geometry, Volume

_SLAB = 8
Masks = dict[str, npt.NDArray[np.bool_]]
PADDING = -2048.0


@dataclasses.dataclass(frozen=True)
class LesionTruth:
    """What was put where.

    Arguments:
        name: key of its mask in `Phantom.truth`, e.g. ``"lesion_1"``.
        kind: concept id.
        side, lobe: where; `lobe` is None for pleural kinds.
        diameter_mm: (longest in an axial plane of the patient, longest at right angles to it), of the exact shape.
        volume_mm3, centre_lps: of the exact shape.
        mean_hu: nominal density, before noise.
        slices: (first, last) k with truth voxels, or None when the grid misses it.
        attributes: as asked for.
    """

    name: str
    kind: str
    side: str
    lobe: str | None
    diameter_mm: tuple[float, float]
    volume_mm3: float
    centre_lps: tuple[float, float, float]
    mean_hu: float
    slices: tuple[int, int] | None
    attributes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Phantom:
    """A synthetic scan and all that is true about it.

    Arguments:
        volume: the scan.
        truth: boolean (k, j, i) masks on the volume's grid: "body", "lung", "lung_left", "lung_right",
            "right_upper_lobe" and the other four, "airway" (lumen), "vessel" (in the lungs), "heart", "bone",
            "subcutaneous_fat", and "lesion_1", "lesion_2", ...
        lesions: in the order asked for.
        report_en, report_zh: the same sentences in both languages; one contradicts the scan.
        report_truth: every sentence with the right answer.
    """

    volume: Volume
    truth: Masks
    lesions: tuple[LesionTruth, ...]
    report_en: str
    report_zh: str
    report_truth: tuple[Statement, ...]
    seed: int


def make_phantom(
    *,
    seed: int,
    lesions: Sequence[LesionSpec] | None = None,
    shape: tuple[int, int, int] = (100, 256, 256),
    spacing: tuple[float, float, float] | None = None,
    axes: str = "LPS",
    rotation_deg: tuple[float, float, float] = (0.0, 0.0, 0.0),
    geometry: Geometry | None = None,
    noise_hu: float = 18.0,
    blur_mm: float = 0.7,
    padding: bool = False,
    confounders: Sequence[Confounder] = (),
) -> Phantom:
    """Make a chest CT.

    Arguments:
        seed: decides the patient, the lesions and the noise. The same seed gives the same patient on every grid.
        lesions: what to put in; None draws two to four, ``()`` makes a clean scan.
        shape, spacing: voxels and millimetres along (k, j, i); without `spacing` the chest fills the grid.
        axes: patient directions in which i, j, k grow, e.g. ``"LPS"``, ``"RAS"``, ``"PSL"`` (sagittal).
        rotation_deg: turns the grid about x, y, z: an oblique scan of the same patient.
        geometry: the output grid itself (may be sheared); overrides shape, spacing, axes and rotation.
        noise_hu: standard deviation of the (spatially correlated) noise in soft tissue.
        blur_mm: standard deviation of the scanner's in-plane point spread.
        padding: mark voxels outside the circular field of view with -2048, as many scanners do.
        confounders: what is no finding but may be mistaken for one (see `confounders.Confounder`).

    Returns:
        The phantom. Lesion masks are the exact shapes at voxel centres, that of emphysema without the vessels and
        bronchi that cross it; "lung" masks hold the vessels and lesions within, not pleural fluid or air.
    """
    rng = np.random.default_rng(seed)
    scene_rng, noise_rng, report_rng = rng.spawn(3)
    scene = Scene(scene_rng, None if lesions is None else tuple(lesions), frozenset(confounders))
    grid = geometry or _grid(scene, shape, spacing, axes, rotation_deg)
    hu, noise_level, truth = _render(scene, grid)
    for axis in (1, 2):
        ndimage.gaussian_filter1d(hu, blur_mm / grid.spacing[axis], axis=axis, output=hu, truncate=3)
    hu += _noise(grid, noise_rng, noise_hu) * noise_level
    np.clip(hu, -1024, 3071, out=hu)
    if padding:
        _, rows, columns = grid.shape
        j, i = np.ogrid[:rows, :columns]
        outside = ((j - (rows - 1) / 2) / (rows / 2)) ** 2 + ((i - (columns - 1) / 2) / (columns / 2)) ** 2 > 1
        hu[:, outside] = PADDING
    described = tuple(_describe(scene, number, truth) for number in range(1, len(scene.lesions) + 1))
    volume = Volume(
        array=np.rint(hu).astype(np.float32),
        geometry=grid,
        modality="CT",
        name=f"phantom-{seed}",
        padding=PADDING if padding else None,
    )
    english, chinese, statements = write_report(described, report_rng)
    return Phantom(volume, truth, described, english, chinese, statements, seed)


def _grid(
    scene: Scene,
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float] | None,
    axes: str,
    rotation_deg: tuple[float, float, float],
) -> Geometry:
    """A grid centred on the chest: 2.02 of the widest half width across, from below the diaphragm to above the apex."""
    letters = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "S": (2, 1), "I": (2, -1)}
    direction = np.zeros((3, 3))
    extent = np.array([400.0, 400.0, 330.0]) * scene.patient.scale
    along = np.zeros(3)
    for column, letter in enumerate(axes):
        axis, sign = letters[letter]
        direction[axis, column] = sign
        along[column] = extent[axis]
    direction = euler(np.deg2rad(rotation_deg)) @ direction
    if spacing is None:
        spacing = tuple(float(e / n) for e, n in zip(along[::-1], shape, strict=True))  # type: ignore[assignment]
    assert spacing is not None
    middle = scene.patient.to_lps([0, 5, -25])
    half = (np.array(shape[::-1]) - 1) / 2 * np.array(spacing[::-1])
    origin = middle - direction @ half
    return Geometry.from_parts(shape, spacing=spacing, origin=tuple(origin), direction=direction)


def _render(scene: Scene, grid: Geometry) -> tuple[Field, Field, Masks]:
    """(noise-free HU, relative noise, truth masks), slab by slab; thick slices are the mean of several thin ones."""
    thickness, *plane = grid.spacing
    width = float(np.mean(plane))
    times = 1 + 2 * int(np.clip(thickness / 2.4, 0, 3))  # odd: the middle one lies at the voxel centres
    hu, noise_level = np.empty(grid.shape, np.float32), np.empty(grid.shape, np.float32)
    masks: Masks = {}

    def render(first: int) -> tuple[int, Masks]:
        n = min(_SLAB, grid.shape[0] - first)
        affine = grid.affine.copy()
        affine[:3, 3] = grid.to_lps((first - (times - 1) / (2 * times), 0, 0))
        affine[:3, 2] /= times
        view = View(scene, Geometry((n * times, *grid.shape[1:]), affine))
        painted = paint(view, width)
        if "motion" in scene.extras:  # the mean over a breath: half of the time the patient lies a little lower
            lower = affine.copy()
            lower[2, 3] += MOTION_MM
            painted = (painted + paint(View(scene, Geometry((n * times, *grid.shape[1:]), lower)), width)) / 2
        hu[first : first + n] = painted.reshape(n, times, *grid.shape[1:]).mean(axis=1)
        # Quantum noise: less where rays cross little tissue.
        noise_level[first : first + n] = 0.4 + 0.6 * coverage(view.field("body")[times // 2 :: times] + 20, 60)
        return first, {name: mask[times // 2 :: times] for name, mask in _truth(view).items()}

    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        for first, part in pool.map(render, range(0, grid.shape[0], _SLAB)):
            for name, mask in part.items():
                masks.setdefault(name, np.zeros(grid.shape, bool))[first : first + len(mask)] = mask
    return hu, noise_level, masks


def _noise(grid: Geometry, rng: np.random.Generator, noise_hu: float) -> Field:
    """Correlated noise: white noise through a Gaussian of 0.6 mm in plane and a little along k, scaled to its SD."""
    noise = rng.standard_normal(grid.shape, dtype=np.float32)
    for axis, mm in ((0, 0.5), (1, 0.6), (2, 0.6)):
        sigma = mm / grid.spacing[axis]
        if sigma > 0.2:
            ndimage.gaussian_filter1d(noise, sigma, axis=axis, output=noise, truncate=3)
    return noise * np.float32(noise_hu / max(float(noise[:: max(grid.shape[0] // 8, 1)].std()), 1e-6))


def _truth(view: View) -> Masks:
    truth = {"body": view.field("body") < 0}
    for side, lobes in LOBES.items():
        lung = view.field(f"lung_{side}") < 0
        truth[f"lung_{side}"] = lung
        for lobe in lobes:
            truth[f"{side}_{lobe}_lobe"] = lung & (view.lobe(side, lobe) < 0)
    truth["lung"] = truth["lung_right"] | truth["lung_left"]
    truth["heart"] = view.field("heart") < 0
    truth["airway"] = view.tubes("airways") < 0
    truth["vessel"] = (view.tubes("vessels") < 0) & truth["lung"]
    bone = np.minimum(view.field("spine"), np.minimum(view.tubes("ribs"), view.tubes("girdle")))
    truth["bone"] = (np.minimum(bone, view.tubes("blades")) < 0) & truth["body"] & ~truth["lung"]
    truth["liver"] = (view.field("liver") < 0) & ~truth["lung"]
    outer = (view.field("body") < -1.8) & (view.field("muscle") > 0) & (view.field("cavity") > -1)
    truth["subcutaneous_fat"] = outer & ~truth["bone"]
    for number in range(len(view.scene.lesions)):
        mask = np.zeros(view.geometry.shape, bool)
        found = view.lesion_mask(number)
        if found is not None:
            mask[found[0]] = found[1]
        truth[f"lesion_{number + 1}"] = mask
    return truth


def _describe(scene: Scene, number: int, truth: Masks) -> LesionTruth:
    lesion = scene.lesions[number - 1]
    fine, origin, step = _fine_mask(scene, number - 1)
    index = np.argwhere(fine)
    volume = float(len(index) * step**3)
    centre = origin + index[:, ::-1].mean(axis=0) * step if len(index) else origin
    mask = truth[f"lesion_{number}"]
    used = np.flatnonzero(mask.any(axis=(1, 2)))
    size = (lesion.diameter_mm, lesion.diameter_mm) if lesion.spec.kind in PLEURAL else axial_size(fine, step)
    return LesionTruth(
        name=f"lesion_{number}",
        kind=lesion.spec.kind,
        side=lesion.side,
        lobe=lesion.lobe,
        diameter_mm=size,
        volume_mm3=volume,
        centre_lps=(float(centre[0]), float(centre[1]), float(centre[2])),
        mean_hu=lesion.hu,
        slices=(int(used[0]), int(used[-1])) if len(used) else None,
        attributes=lesion.spec.attributes,
    )


def _fine_mask(scene: Scene, index: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64], float]:
    """The lesion on a fine axis-aligned grid of its own: (mask, LPS of voxel 0, step mm)."""
    lesion = scene.lesions[index]
    if lesion.blobs:
        low = np.min([b.centre - b.reach for b in lesion.blobs], axis=0) - 1
        high = np.max([b.centre + b.reach for b in lesion.blobs], axis=0) + 1
    else:
        corners = scene.patient.to_lps(np.array(np.meshgrid([-150, 150], [-110, 110], [-180, 130])).reshape(3, -1).T)
        low, high = corners.min(axis=0), corners.max(axis=0)
    step = float(np.clip((high - low).max() / 110, 0.2, 4.0))
    shape = tuple(int(n) for n in np.ceil((high - low) / step)[::-1] + 1)
    geometry = Geometry.from_parts(shape, spacing=(step,) * 3, origin=tuple(low))  # type: ignore[arg-type]
    mask = np.zeros(shape, bool)
    found = View(scene, geometry).lesion_mask(index)
    if found is not None:
        mask[found[0]] = found[1]
    return mask, low, step


def axial_size(mask: npt.NDArray[np.bool_], step: float) -> tuple[float, float]:
    """(longest, longest at right angles to it) in mm over the axial planes of an isotropic (z, y, x) mask."""
    best = (0.0, 0.0)
    for plane in mask:
        points = np.argwhere(plane).astype(float)
        if len(points) < 3:
            continue
        try:
            hull = points[ConvexHull(points).vertices]
        except QhullError:
            continue
        gaps = hull[:, None] - hull[None]
        length = np.sqrt((gaps**2).sum(axis=2))
        a, b = np.unravel_index(int(length.argmax()), length.shape)
        if length[a, b] > best[0]:
            across = np.array([-gaps[a, b][1], gaps[a, b][0]]) / max(length[a, b], 1e-9)
            best = (float(length[a, b]), float(np.ptp(hull @ across)))
    return (best[0] + 1) * step, (best[1] + 1) * step
