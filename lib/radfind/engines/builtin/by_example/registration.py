"""One annotated case brought onto a new scan: a shift along the body, then affine, then B-splines (elastix)."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import tempfile
from functools import cached_property
from typing import Any

import edt
import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from radfind.engines.api import Context
from radfind.engines.builtin.by_example.appearance import NEAR_MM
from radfind.engines.builtin.by_example.grids import WORK_MM, best_shift, dependence, shrunk, to_image, working_image
from radfind.errors import NotSupportedError
from radfind.volume import Volume

_NODES_MM = 24.0
"""Distance of the B-spline's control points: organs deform over centimetres (elastix manual, section 5.2)."""


@dataclasses.dataclass(frozen=True, eq=False)
class Carried:
    """An example's structure on the target's working grid.

    Arguments:
        chance: (k, j, i) 0..1, on the grid of `Registration.fixed`.
        likeness: 0..1, how far target values follow from the example's around the structure.
        kept: volume of the structure on the target over that in the example.
    """

    chance: npt.NDArray[np.float32]
    likeness: float
    kept: float


class Registration:
    """One annotated volume registered onto a target; any number of its structures are then brought along.

    Raises:
        NotSupportedError: itk-elastix is not installed.
    """

    def __init__(self, source: Volume, target: Volume, context: Context) -> None:
        if not installed():
            raise NotSupportedError(
                "Segmentation by example needs itk-elastix, which is not installed. Install radfind[examples]."
            )
        context.step(0.0, "aligning the example")
        self._source = source.oriented("LPS")
        self._cross = target.modality != source.modality
        self.fixed, self._moving = working_image(target), working_image(source)
        self.shift = best_shift(self.fixed, self._moving)
        self._moving.SetOrigin(tuple(np.add(self._moving.GetOrigin(), self.shift).tolist()))

    @cached_property
    def _bent(self) -> tuple[Any, npt.NDArray[np.float32]] | None:
        """The transform and the example's image through it; made when a structure first needs it."""
        try:
            return _elastix(self.fixed, self._moving, cross=self._cross)
        except RuntimeError:  # elastix gives up when the images do not overlap any more
            return None

    def carry(self, mask: npt.NDArray[np.bool_], source: Volume) -> Carried:
        """Bring a structure of the example (mask on its own grid) to the target."""
        oriented = np.asarray(dataclasses.replace(source, array=mask.astype(np.uint8), slices=()).oriented("LPS").array)
        label = shrunk(to_image(oriented.astype(np.float32), self._source), WORK_MM)
        label.SetOrigin(tuple(np.add(label.GetOrigin(), self.shift).tolist()))
        cell = float(np.prod(self.fixed.GetSpacing()))
        size = float(sitk.GetArrayFromImage(label).sum() * np.prod(label.GetSpacing()))
        # The structure must lie over the target before anything is bent to fit.
        over = sitk.GetArrayFromImage(sitk.Resample(label, self.fixed, sitk.Transform(), sitk.sitkLinear, 0.0))
        bent = self._bent if over.sum() * cell >= 0.2 * size else None
        if bent is None:
            return Carried(np.zeros(over.shape, np.float32), 0.0, 0.0)
        import itk

        transform, warped = bent
        with tempfile.TemporaryDirectory(prefix="radfind-") as folder:
            moved = itk.transformix_filter(_to_itk(label), transform, log_to_console=False, output_directory=folder)
            chance = np.clip(np.array(itk.array_view_from_image(moved)), 0.0, 1.0).astype(np.float32)
        inside = chance > 0.5
        if not inside.any():
            return Carried(chance, 0.0, 0.0)
        spacing = self.fixed.GetSpacing()[::-1]
        near = (edt.edt(~inside, anisotropy=spacing, parallel=1) < NEAR_MM) & (warped > -1.5)
        likeness = dependence(sitk.GetArrayFromImage(self.fixed)[near], warped[near])
        return Carried(chance, likeness, float(chance.sum()) * cell / max(size, 1e-9))


def installed() -> bool:
    """Whether elastix is there; asked without importing it, which takes seconds."""
    try:
        importlib.metadata.version("itk-elastix")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _elastix(fixed: sitk.Image, moving: sitk.Image, *, cross: bool) -> tuple[Any, npt.NDArray[np.float32]]:
    """(transform, moving image on the fixed grid). Threads are left to elastix: naming their number crashes 0.25."""
    import itk

    parameters = itk.ParameterObject.New()
    for stage, extra in (
        ("affine", {"MaximumNumberOfIterations": ["200"]}),
        ("bspline", {"MaximumNumberOfIterations": ["250"], "FinalGridSpacingInPhysicalUnits": [str(_NODES_MM)]}),
    ):
        settings = parameters.GetDefaultParameterMap(stage, 3 if stage == "affine" else 2)
        settings["Metric"] = [
            "AdvancedMattesMutualInformation",
            *(["TransformBendingEnergyPenalty"] if stage == "bspline" else []),
        ]
        if stage == "bspline":
            settings["Registration"] = ["MultiMetricMultiResolutionRegistration"]
            settings["Metric0Weight"], settings["Metric1Weight"] = ["1.0"], ["2.0" if cross else "0.2"]
        settings["NumberOfSpatialSamples"] = ["3000"]
        settings["NewSamplesEveryIteration"] = ["true"]
        settings["AutomaticTransformInitialization"] = ["false"]
        settings["RequiredRatioOfValidSamples"] = ["0.05"]
        settings["DefaultPixelValue"] = ["-2"]
        settings["RandomSeed"] = ["1"]
        for name, value in extra.items():
            settings[name] = value
        parameters.AddParameterMap(settings)
    # elastix leaves log files in the current folder unless told where to.
    with tempfile.TemporaryDirectory(prefix="radfind-") as folder:
        result, transform = itk.elastix_registration_method(
            _to_itk(fixed),
            _to_itk(moving),
            parameter_object=parameters,
            log_to_console=False,
            output_directory=folder,
        )
        transform.SetParameter("FinalBSplineInterpolationOrder", "1")
        transform.SetParameter("DefaultPixelValue", "0")
        return transform, np.array(itk.array_view_from_image(result))


def _to_itk(image: sitk.Image) -> Any:
    import itk

    converted = itk.image_from_array(sitk.GetArrayFromImage(image).astype(np.float32))
    converted.SetSpacing(image.GetSpacing())
    converted.SetOrigin(image.GetOrigin())
    converted.SetDirection(itk.matrix_from_array(np.array(image.GetDirection()).reshape(3, 3)))
    return converted
