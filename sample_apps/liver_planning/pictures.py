"""Pictures of a plan: an axial and a coronal slice with outlines, and the models in space."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from radfind.exports.meshes import Model, models_of, polydata
from radfind.imaging.windows import apply
from radfind.measure.distances import centroid
from radfind.measure.surface import surface
from radfind.measure.trajectories import Trajectory
from radfind.results import Segment, Segmentation
from radfind.volume import Volume

SCALE = 5
GREY, WAY, OTHER_WAY = (150, 150, 150), (0, 255, 160), (90, 160, 130)


def draw_plan(
    volume: Volume,
    plan: Segmentation,
    body: npt.NDArray[np.bool_],
    ways: Sequence[Trajectory],
    out: Path,
    *,
    spared: Sequence[Segment] = (),
) -> None:
    """Write axial.png, coronal.png and models.png. The lesion is the last segment but one.

    Arguments:
        spared: what the ways keep clear of; drawn thin and grey.
    """
    lesion = plan.segments[-2]
    upright = volume.oriented("LPS")
    centre = upright.geometry.to_index(centroid(lesion.mask, volume.geometry))
    grey = apply(upright, "abdomen")
    shown = [*(Segment(s.name, s.mask, color=GREY) for s in spared), *plan.segments]
    masks = [(s, volume.__class__(s.mask, volume.geometry).oriented("LPS").array) for s in shown]
    for axis, name in ((0, "axial"), (1, "coronal")):
        at = round(float(centre[axis]))
        spacing = [s for n, s in enumerate(upright.geometry.spacing) if n != axis]
        plane = _plane(grey, axis, at)
        outlines = [(s, _plane(mask.astype(np.uint8), axis, at)) for s, mask in masks]
        picture = _slice(plane, outlines, spacing)
        draw = ImageDraw.Draw(picture)
        told = [
            f"way {n}: {w.length_mm:.0f} mm, {w.least_clearance_mm:.0f} mm clear" for n, w in enumerate(ways, start=1)
        ]
        legend = [(s.name, s.color) for s in plan.segments] + [("kept clear of", GREY)] * bool(spared)
        for number, way in enumerate(ways):
            ends = [upright.geometry.to_index(p) for p in (way.entry_lps, way.target_lps)]
            flat = [_on_picture(end, axis, plane.shape, spacing) for end in ends]
            draw.line([*flat[0], *flat[1]], fill=WAY if number == 0 else OTHER_WAY, width=2)
        lines = [*legend, ("ways, as seen through the slices:", GREY)] if ways else legend
        lines += [(text, WAY if n == 0 else OTHER_WAY) for n, text in enumerate(told)]
        _beside(picture, lines).save(out / f"{name}.png")
    bones = Segmentation(plan.geometry, tuple(s for s in shown[: len(spared)] if "rib" in s.name or "bone" in s.name))
    _space(plan, bones, body, volume, ways, out / "models.png")


def _plane(array: npt.NDArray, axis: int, at: int) -> npt.NDArray:
    plane = np.take(array, at, axis=axis)
    return plane[::-1] if axis == 1 else plane  # head up


def _on_picture(index: npt.NDArray, axis: int, shape: tuple[int, ...], spacing: Sequence[float]) -> tuple[float, float]:
    row, column = [value for n, value in enumerate(index) if n != axis]
    if axis == 1:
        row = shape[0] - 1 - row
    unit = min(spacing)
    return (float(column) + 0.5) * spacing[1] / unit * SCALE, (float(row) + 0.5) * spacing[0] / unit * SCALE


def _slice(
    plane: npt.NDArray, outlines: Sequence[tuple[Segment, npt.NDArray]], spacing: Sequence[float]
) -> Image.Image:
    from skimage.measure import find_contours

    unit = min(spacing)
    size = round(plane.shape[1] * spacing[1] / unit * SCALE), round(plane.shape[0] * spacing[0] / unit * SCALE)
    picture = Image.fromarray(plane).convert("RGB").resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    for segment, mask in outlines:
        for contour in find_contours(np.pad(mask, 1), 0.5):
            points = [
                ((c - 0.5) * spacing[1] / unit * SCALE, (r - 0.5) * spacing[0] / unit * SCALE) for r, c in contour
            ]
            draw.line(points, fill=segment.color, width=1 if segment.color == GREY else 2)
    draw.text((6, size[1] // 2), "R", fill="white")
    draw.text((size[0] - 12, size[1] // 2), "L", fill="white")
    return picture


def _beside(picture: Image.Image, lines: Sequence[tuple[str, tuple[int, int, int]]]) -> Image.Image:
    """The picture with its legend at its right, where it hides nothing."""
    whole = Image.new("RGB", (picture.width + 220, picture.height))
    whole.paste(picture, (0, 0))
    draw = ImageDraw.Draw(whole)
    for number, (text, color) in enumerate(lines):
        draw.text((picture.width + 10, 10 + 18 * number), text, fill=color)
    return whole


def _space(
    plan: Segmentation,
    bones: Segmentation,
    body: npt.NDArray[np.bool_],
    volume: Volume,
    ways: Sequence[Trajectory],
    path: Path,
) -> None:
    import vtkmodules.vtkRenderingOpenGL2  # noqa: F401  (registers the renderer)
    from vtkmodules.vtkFiltersSources import vtkLineSource
    from vtkmodules.vtkIOImage import vtkPNGWriter
    from vtkmodules.vtkRenderingCore import (
        vtkActor,
        vtkPolyDataMapper,
        vtkRenderer,
        vtkRenderWindow,
        vtkWindowToImageFilter,
    )

    renderer, window = vtkRenderer(), vtkRenderWindow()
    window.SetOffScreenRendering(1)
    window.SetAlphaBitPlanes(1)
    window.SetMultiSamples(0)
    renderer.SetUseDepthPeeling(1)  # what is see-through is blended from back to front
    renderer.SetMaximumNumberOfPeels(12)
    window.SetSize(900, 800)
    window.AddRenderer(renderer)
    renderer.SetBackground(0.2, 0.22, 0.26)

    def add(data: object, color: Sequence[float], opacity: float) -> None:
        mapper, actor = vtkPolyDataMapper(), vtkActor()
        mapper.SetInputData(data)
        mapper.ScalarVisibilityOff()
        actor.SetMapper(mapper)
        actor.GetProperty().SetColor(*[c / 255 for c in color])
        actor.GetProperty().SetOpacity(opacity)
        actor.GetProperty().SetLineWidth(4)
        renderer.AddActor(actor)

    add(polydata(Model("skin", surface(body, volume.geometry))), (235, 205, 185), 0.15)
    for model in models_of(bones) if bones.segments else ():
        add(polydata(model), (225, 215, 190), 0.6)
    for model in models_of(plan):
        see_through = model.name == "liver" or model.name.startswith("margin")
        add(polydata(model), model.color, 0.3 if see_through else 1.0)
    for number, way in enumerate(ways):
        line = vtkLineSource()
        line.SetPoint1(*way.entry_lps)
        line.SetPoint2(*way.target_lps)
        line.Update()
        add(line.GetOutput(), WAY if number == 0 else OTHER_WAY, 1.0)
    camera = renderer.GetActiveCamera()  # from the front, a little from the right; head up
    camera.SetPosition(-0.5, -1, 0.25)
    camera.SetFocalPoint(0, 0, 0)
    camera.SetViewUp(0, 0, 1)
    renderer.ResetCamera()
    camera.Zoom(1.3)
    window.Render()
    grab, writer = vtkWindowToImageFilter(), vtkPNGWriter()
    grab.SetInput(window)
    grab.Update()
    writer.SetInputData(grab.GetOutput())
    writer.SetFileName(str(path))
    writer.Write()
    picture = Image.open(path)
    draw = ImageDraw.Draw(picture)
    for x, letter in ((12, "R"), (picture.width - 20, "L")):
        draw.text((x, picture.height // 2), letter, fill="white")
    picture.save(path)
