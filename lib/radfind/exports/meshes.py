"""Surfaces as files for navigation, printing and viewers: STL, PLY, OBJ, VTK, 3MF and glTF.

Each file names its space. STL, PLY, OBJ and VTK say ``SPACE=LPS`` in their header, which 3D Slicer reads (it assumes
LPS as well when nothing is said); 3MF says so in its description; glTF is metres with Y up by its standard, so its
nodes carry the matrix from LPS millimetres.
"""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
import numpy.typing as npt

from radfind.errors import InputError
from radfind.exports.names import printable
from radfind.measure.surface import Surface, surface
from radfind.results import Segmentation

SINGLE = (".stl", ".ply", ".obj", ".vtk")
"""Formats of one model a file."""
SCENES = (".3mf", ".glb", ".gltf")
"""Formats that hold several named models."""
SPACE = "SPACE=LPS"

# glTF 2.0: metres, +Y up, +Z forward, -X right. Patient: left is +X, superior +Y, anterior +Z.
_LPS_TO_GLTF = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1000.0]]) / 1000.0


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A named surface.

    Arguments:
        values: (vertices,) a number for each vertex, e.g. a distance in mm: kept as scalars by VTK files and shown as
            colours by PLY. Or None.
        value_name: its name, with the unit.
    """

    name: str
    surface: Surface
    color: tuple[int, int, int] = (230, 180, 60)
    values: npt.NDArray[np.float64] | None = None
    value_name: str = "value"


def models_of(segmentation: Segmentation) -> list[Model]:
    """A model of each segment that has voxels: closed, smooth, and of the segment's volume (`measure.surface`)."""
    return [
        Model(printable(segment.name), surface(segment.mask, segmentation.geometry), segment.color)
        for segment in segmentation.segments
        if segment.mask.any()
    ]


def write_models(models: Sequence[Model], path: str | Path) -> Path:
    """Write models to one file; the suffix decides the format. The file appears whole or not at all.

    Raises:
        InputError: the suffix is unknown, there is no model, too many for the format, or the folder is not writable.
    """
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in SINGLE + SCENES:
        raise InputError(f"'{target.name}' ends in no mesh format. Use one of {', '.join(SINGLE + SCENES)}.")
    if not models:
        raise InputError("There is no surface to write: every segment is empty.")
    if suffix in SINGLE and len(models) > 1:
        raise InputError(f"A {suffix} file holds one model, not {len(models)}. Write one file each, or a .3mf or .glb.")
    draft = target.with_name(f".part-{target.name}")
    try:
        if suffix == ".3mf":
            _write_3mf(models, draft)
        elif suffix in SCENES:
            draft.write_bytes(_gltf(models, suffix))
        elif suffix == ".obj":
            draft.write_text(_obj(models[0]), encoding="utf-8")
        else:
            _write_vtk(models[0], draft, suffix)
        draft.replace(target)
    except OSError as error:
        raise InputError(
            f"'{target}' cannot be written ({error.strerror or error}). Name a folder that exists and is writable."
        ) from error
    finally:
        draft.unlink(missing_ok=True)
    return target


def polydata(model: Model) -> Any:
    """A ``vtkPolyData`` in LPS millimetres with normals, and scalars where the model has values."""
    from vtkmodules.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray
    from vtkmodules.vtkCommonCore import vtkPoints
    from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData

    points, cells, data = vtkPoints(), vtkCellArray(), vtkPolyData()
    points.SetData(numpy_to_vtk(model.surface.vertices.astype(np.float32), deep=True))
    faces = np.column_stack([np.full(len(model.surface.faces), 3), model.surface.faces]).astype(np.int64)
    cells.ImportLegacyFormat(numpy_to_vtkIdTypeArray(faces.ravel(), deep=True))
    data.SetPoints(points)
    data.SetPolys(cells)
    if model.values is not None:
        scalars = numpy_to_vtk(np.asarray(model.values, np.float32), deep=True)
        scalars.SetName(model.value_name)
        data.GetPointData().SetScalars(scalars)
    return data


def _write_vtk(model: Model, path: Path, suffix: str) -> None:
    from vtkmodules.util.numpy_support import numpy_to_vtk
    from vtkmodules.vtkIOGeometry import vtkSTLWriter
    from vtkmodules.vtkIOLegacy import vtkPolyDataWriter
    from vtkmodules.vtkIOPLY import vtkPLYWriter

    data = polydata(model)
    title = f"{SPACE};UNIT=mm;NAME={_ascii(model.name)}"
    writer: Any
    if suffix == ".stl":
        writer = vtkSTLWriter()
        writer.SetHeader(title[:79])
        writer.SetFileTypeToBinary()
    elif suffix == ".ply":
        writer = vtkPLYWriter()
        writer.AddComment(SPACE)
        writer.AddComment(f"UNIT=mm NAME={_ascii(model.name)}")
        writer.SetFileTypeToBinary()
        colors = numpy_to_vtk(_colors(model), deep=True)
        colors.SetName("RGB")
        data.GetPointData().SetScalars(colors)
        writer.SetArrayName("RGB")
    else:
        writer = vtkPolyDataWriter()
        writer.SetHeader(title[:255])
        writer.SetFileTypeToBinary()
    writer.SetInputData(data)
    writer.SetFileName(str(path))
    if not writer.Write():
        raise OSError("the writer failed; the disk may be full")


def _ascii(name: str) -> str:
    return name.encode("ascii", "replace").decode().replace("\n", " ")


def _colors(model: Model) -> npt.NDArray[np.uint8]:
    """The model's colour, or its values from red (least) over white to blue (most)."""
    if model.values is None:
        return np.tile(np.array(model.color, np.uint8), (len(model.surface.vertices), 1))
    low, high = float(np.min(model.values)), float(np.max(model.values))
    share = (np.asarray(model.values) - low) / max(high - low, 1e-9)
    red = np.interp(share, [0, 0.5, 1], [200, 245, 40])
    green = np.interp(share, [0, 0.5, 1], [30, 245, 80])
    blue = np.interp(share, [0, 0.5, 1], [30, 245, 200])
    return np.ascontiguousarray(np.stack([red, green, blue], axis=1).astype(np.uint8))


def _obj(model: Model) -> str:
    lines = [f"# {SPACE}", f"# UNIT=mm NAME={model.name}", f"o {model.name.replace(' ', '_')}"]
    lines += [f"v {x:.5f} {y:.5f} {z:.5f}" for x, y, z in model.surface.vertices]
    lines += [f"f {a} {b} {c}" for a, b, c in model.surface.faces + 1]
    return "\n".join(lines) + "\n"


def _gltf(models: Sequence[Model], suffix: str) -> bytes:
    import base64
    import json

    import trimesh

    scene = trimesh.Scene()
    for number, model in enumerate(models):
        material = trimesh.visual.material.PBRMaterial(
            baseColorFactor=[*model.color, 255], metallicFactor=0.0, roughnessFactor=0.8
        )
        mesh = trimesh.Trimesh(model.surface.vertices, model.surface.faces, process=False)
        mesh.visual = trimesh.visual.TextureVisuals(material=material)
        mesh.metadata = {"name": model.name, "space": "vertices: LPS mm; node matrix: LPS mm to glTF metres"}
        scene.add_geometry(mesh, geom_name=model.name, node_name=f"{number} {model.name}", transform=_LPS_TO_GLTF)
    if suffix == ".glb":
        return bytes(scene.export(file_type="glb"))
    files = scene.export(file_type="gltf")
    document = json.loads(files["model.gltf"])
    for buffer in document["buffers"]:  # one file that can be mailed, instead of one with companions
        data = base64.b64encode(files[buffer["uri"]]).decode()
        buffer["uri"] = f"data:application/octet-stream;base64,{data}"
    return json.dumps(document, ensure_ascii=False).encode()


# 3MF Core Specification 1.3: the package (OPC), its one relationship, and the model part.
_CONTENT_TYPES = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="model" ContentType="application/vnd.ms-package.3dmanufacturing-3dmodel+xml"/></Types>'
)
_RELATIONSHIPS = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Target="/3D/3dmodel.model" Id="rel0" '
    'Type="http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"/></Relationships>'
)


def _write_3mf(models: Sequence[Model], path: Path) -> None:
    bases = "".join(
        f'<base name={quoteattr(m.name)} displaycolor="#{m.color[0]:02X}{m.color[1]:02X}{m.color[2]:02X}"/>'
        for m in models
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as package:
        package.writestr("[Content_Types].xml", _CONTENT_TYPES)
        package.writestr("_rels/.rels", _RELATIONSHIPS)
        with package.open("3D/3dmodel.model", "w") as part:
            part.write(
                '<?xml version="1.0" encoding="UTF-8"?>\n<model unit="millimeter" xml:lang="en-US" '
                'xmlns="http://schemas.microsoft.com/3dmanufacturing/core/2015/02">'
                f'<metadata name="Description">{SPACE}, patient coordinates</metadata><resources>'
                f'<basematerials id="1">{bases}</basematerials>'.encode()
            )
            for number, model in enumerate(models):
                part.write(_object_3mf(model, number))
            items = "".join(f'<item objectid="{number + 2}"/>' for number in range(len(models)))
            part.write(f"</resources><build>{items}</build></model>".encode())


def _object_3mf(model: Model, number: int) -> bytes:
    vertices = "".join(f'<vertex x="{x:.5f}" y="{y:.5f}" z="{z:.5f}"/>' for x, y, z in model.surface.vertices)
    triangles = "".join(f'<triangle v1="{a}" v2="{b}" v3="{c}"/>' for a, b, c in model.surface.faces)
    return (
        f'<object id="{number + 2}" type="model" pid="1" pindex="{number}" name={quoteattr(model.name)}>'
        f"<mesh><vertices>{vertices}</vertices><triangles>{triangles}</triangles></mesh></object>"
    ).encode()
