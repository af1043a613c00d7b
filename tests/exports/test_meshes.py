"""Surfaces: closed, in place, of the right volume, in every format and as other tools read them."""

from __future__ import annotations

import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import radfind
from radfind.errors import InputError
from radfind.exports.meshes import SINGLE, Model, models_of, polydata, write_models
from radfind.imaging.writing import write_labelmap
from radfind.measure.surface import surface
from radfind.results import Segment, Segmentation
from radfind.volume import Geometry, Volume

trimesh = pytest.importorskip("trimesh", reason="the export extra is not installed")


def oblique() -> Segmentation:
    turned = Rotation.from_euler("xyz", [20, -35, 50], degrees=True).as_matrix()
    geometry = Geometry.from_parts((36, 60, 50), spacing=(2.0, 0.9, 1.1), origin=(40, -80, 300), direction=turned)
    index = np.indices(geometry.shape).reshape(3, -1).T
    points = geometry.to_lps(index) - geometry.to_lps((18, 30, 25))
    one = (np.linalg.norm(points / (18, 12, 20), axis=1) <= 1).reshape(geometry.shape)
    two = (np.abs(points) <= (8, 10, 12)).all(axis=1).reshape(geometry.shape)
    return Segmentation(geometry, (Segment("tumour", one, color=(200, 30, 40)), Segment("肝 box", two)))


def to_mask(vertices: np.ndarray, faces: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Voxel centres inside a closed surface, by VTK's stencil in index space."""
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkCommonDataModel import vtkImageData
    from vtkmodules.vtkImagingStencil import vtkImageStencilToImage, vtkPolyDataToImageStencil

    from radfind.measure.surface import Surface

    index = geometry.to_index(vertices)[:, ::-1]
    k, j, i = geometry.shape
    stencil, image = vtkPolyDataToImageStencil(), vtkImageStencilToImage()
    stencil.SetInputData(polydata(Model("m", Surface(index, faces))))
    stencil.SetOutputSpacing(1, 1, 1)
    stencil.SetOutputOrigin(0, 0, 0)
    stencil.SetOutputWholeExtent(0, i - 1, 0, j - 1, 0, k - 1)
    stencil.SetTolerance(0)
    image.SetInputConnection(stencil.GetOutputPort())
    image.SetInsideValue(1)
    image.SetOutputScalarTypeToUnsignedChar()
    image.Update()
    output: vtkImageData = image.GetOutput()
    return vtk_to_numpy(output.GetPointData().GetScalars()).reshape(geometry.shape) > 0


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * float((one & other).sum()) / float(one.sum() + other.sum())


@pytest.mark.parametrize("seed", range(30))
def test_any_mask_gives_a_closed_surface(seed: int) -> None:
    """Random voxels meet in every way: at corners, edges, with tunnels and holes, and touch the border."""
    rng = np.random.default_rng(seed)
    mask = rng.random((6, 7, 8)) < rng.uniform(0.05, 0.95)
    geometry = Geometry.from_parts(mask.shape, spacing=(2, 1, 0.7), direction=np.diag([-1, 1, 1]))
    if not mask.any():
        mask[0, 0, 0] = True
    found = surface(mask, geometry)
    mesh = trimesh.Trimesh(found.vertices, found.faces, process=False)
    assert mesh.is_watertight and mesh.is_winding_consistent and found.volume_mm3 > 0


@pytest.mark.parametrize("number", [0, 1])
def test_mesh_is_the_segment(number: int) -> None:
    segmentation = oblique()
    model, mask = models_of(segmentation)[number], segmentation.segments[number].mask
    assert model.surface.volume_mm3 == pytest.approx(mask.sum() * segmentation.geometry.voxel_volume, rel=1e-3)
    assert dice(to_mask(model.surface.vertices, model.surface.faces, segmentation.geometry), mask) >= 0.98
    assert abs(model.surface.shift_mm) <= 0.1 * (2.0 * 0.9 * 1.1) ** (1 / 3)


def test_real_organs_keep_volume_and_place(shared_data: Callable[[str], Path]) -> None:
    labels = radfind.load(shared_data("abdomen-ct") / "labels.nii.gz")
    values = [int(v) for v in np.unique(labels.array) if v][:12]
    worst = 1.0
    for value in values:
        mask = labels.array == value
        found = surface(mask, labels.geometry)
        assert trimesh.Trimesh(found.vertices, found.faces, process=False).is_watertight
        assert found.volume_mm3 == pytest.approx(mask.sum() * labels.geometry.voxel_volume, rel=0.01)
        worst = min(worst, dice(to_mask(found.vertices, found.faces, labels.geometry), mask))
    assert worst >= 0.98


@pytest.mark.parametrize("suffix", SINGLE)
def test_single_formats_come_back(suffix: str, tmp_path: Path) -> None:
    model = models_of(oblique())[0]
    path = write_models([model], tmp_path / f"m{suffix}")
    assert b"SPACE=LPS" in path.read_bytes()[:400]
    if suffix == ".vtk":
        from vtkmodules.util.numpy_support import vtk_to_numpy
        from vtkmodules.vtkIOLegacy import vtkPolyDataReader

        reader = vtkPolyDataReader()
        reader.SetFileName(str(path))
        reader.Update()
        np.testing.assert_allclose(
            vtk_to_numpy(reader.GetOutput().GetPoints().GetData()), model.surface.vertices, atol=1e-3
        )
        return
    mesh = trimesh.load_mesh(path)
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(model.surface.volume_mm3, rel=1e-4)
    np.testing.assert_allclose(mesh.bounds, [model.surface.vertices.min(0), model.surface.vertices.max(0)], atol=1e-3)


@pytest.mark.parametrize("suffix", [".glb", ".gltf"])
def test_gltf_is_metres_with_y_up(suffix: str, tmp_path: Path) -> None:
    models = models_of(oblique())
    scene = trimesh.load_scene(write_models(models, tmp_path / f"m{suffix}"))
    assert len(scene.geometry) == 2
    every = np.concatenate([m.surface.vertices for m in models]) / 1000
    expected = np.column_stack([every[:, 0], every[:, 2], -every[:, 1]])
    np.testing.assert_allclose(scene.bounds, [expected.min(0), expected.max(0)], atol=1e-5)


def test_3mf_holds_named_objects_in_millimetres(tmp_path: Path) -> None:
    models = models_of(oblique())
    path = write_models(models, tmp_path / "m.3mf")
    with zipfile.ZipFile(path) as package:
        root = ET.fromstring(package.read("3D/3dmodel.model"))
    ns = {"m": "http://schemas.microsoft.com/3dmanufacturing/core/2015/02"}
    assert root.get("unit") == "millimeter" and "LPS" in str(root.findtext("m:metadata", None, ns))
    objects = root.findall(".//m:object", ns)
    assert [o.get("name") for o in objects] == ["tumour", "肝 box"]
    for o, model in zip(objects, models, strict=True):
        vertices = np.array([[float(v.attrib[a]) for a in "xyz"] for v in o.iterfind(".//m:vertex", ns)])
        faces = np.array([[int(t.attrib[a]) for a in ("v1", "v2", "v3")] for t in o.iterfind(".//m:triangle", ns)])
        mesh = trimesh.Trimesh(vertices, faces, process=False)
        assert mesh.is_watertight and mesh.volume == pytest.approx(model.surface.volume_mm3, rel=1e-4)


def test_values_become_scalars_and_colours(tmp_path: Path) -> None:
    base = models_of(oblique())[0]
    values = base.surface.vertices[:, 2]
    model = Model("d", base.surface, values=values, value_name="distance_mm")
    colours = trimesh.load_mesh(write_models([model], tmp_path / "d.ply"), process=False).visual.vertex_colors
    assert colours[values.argmin()][0] > 150 and colours[values.argmax()][2] > 150
    assert polydata(model).GetPointData().GetScalars().GetName() == "distance_mm"


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    models = models_of(oblique())
    with pytest.raises(InputError, match="one model"):
        write_models(models, tmp_path / "m.stl")
    with pytest.raises(InputError, match="format"):
        write_models(models, tmp_path / "m.fbx")
    with pytest.raises(InputError, match="no surface"):
        write_models([], tmp_path / "m.glb")
    with pytest.raises(InputError, match="folder"):
        write_models(models[:1], tmp_path / "absent" / "m.obj")


@pytest.mark.slicer
def test_mesh_and_segment_coincide_in_slicer(tmp_path: Path) -> None:
    """Slicer's own closed surface of the .seg.nrrd, and our STL brought to Slicer's RAS, are the same body."""
    slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
    from vtkmodules.util.numpy_support import vtk_to_numpy

    if not hasattr(slicer, "vtkSlicerSegmentationsModuleLogic"):
        pytest.skip("this slicer-core has no segmentations logic")
    segmentation = oblique()
    volume = Volume(np.zeros(segmentation.geometry.shape, np.int16), segmentation.geometry, "CT")
    file = write_labelmap(segmentation, tmp_path / "s.seg.nrrd", volume)
    scene, app = slicer.vtkMRMLScene(), slicer.vtkSlicerApplicationLogic()
    app.SetMRMLScene(scene)
    logic = slicer.vtkSlicerSegmentationsModuleLogic()
    logic.SetMRMLApplicationLogic(app)
    logic.SetMRMLScene(scene)
    node = logic.LoadSegmentationFromFile(str(file), True)
    node.CreateClosedSurfaceRepresentation()
    theirs = vtk_to_numpy(node.GetClosedSurfaceInternalRepresentation("Segment_1").GetPoints().GetData())
    ours = models_of(segmentation)[0].surface.vertices * (-1, -1, 1)
    np.testing.assert_allclose(theirs.min(0), ours.min(0), atol=1.5)
    np.testing.assert_allclose(theirs.max(0), ours.max(0), atol=1.5)
    np.testing.assert_allclose((theirs.min(0) + theirs.max(0)) / 2, (ours.min(0) + ours.max(0)) / 2, atol=0.7)
