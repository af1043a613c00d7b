"""A scene, a logic and a loopback server together: what the tests of logic and panel work on."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import slicer
import vtk
from loopback import Loopback
from RadFindLib import Wire
from RadFindLib.Geometry import Mask, cropped, flipXY
from RadFindLib.Labelmaps import orientedImage
from RadFindLib.Logic import Logic
from RadFindLib.Settings import Settings
from RadFindLib.Volumes import gridOf, vtkMatrix
from scene import Scene, oblique

SHAPE = (12, 14, 16)
TERMINOLOGY = (
    "Segmentation category and type - 3D Slicer General Anatomy list~SCT^49755003^Morphologically Altered Structure"
    "~SCT^27925004^Nodule~^^~Anatomic codes - DICOM master list~^^~^^"
)


class Store(dict):
    """What QSettings does, in memory."""

    def value(self, key: str, default: Any = None) -> Any:
        return self.get(key, default)

    setValue = dict.__setitem__

    def remove(self, key: str) -> None:
        self.pop(key, None)


class Bench:
    """A scene with a logic that talks to a loopback server."""

    def __init__(self, server: Loopback) -> None:
        self.server, self.mrml = server, Scene()
        self.asked: list[str] = []
        self.settings = Settings(Store())
        self.settings.server = server.url
        self.agree = True

        def consent(text: str) -> bool:
            self.asked.append(text)
            return self.agree

        self.logic = Logic(self.mrml.scene, self.mrml.application, self.settings, consent)
        self.errors: list[str] = []
        self.said: list[str] = []
        self.logic.failed.connect(self.errors.append)
        self.logic.said.connect(self.said.append)

    def volume(self, toLPS: np.ndarray | None = None, **options: Any) -> Any:
        voxels = np.random.default_rng(1).integers(-1000, 1000, SHAPE).astype(np.int16)
        return self.mrml.volume(voxels, np.diag([0.8, 0.9, 2.0, 1.0]) if toLPS is None else toLPS, **options)

    def answers(self, toLPS: np.ndarray, *masks: np.ndarray, **more: Any) -> None:
        """The server finds these masks, on its own grid."""
        self.server.answer = {
            "version": 1,
            "segments": [segment(mask, f"nodule {n}") for n, mask in enumerate(masks, start=1)],
            "not_found": [],
            "not_supported": [],
            "notes": [],
            "engine": "builtin",
            "volume": {
                "shape_kji": list(masks[0].shape) if masks else list(SHAPE),
                "affine_ijk_to_lps": toLPS.tolist(),
            },
            **more,
        }

    def wait(self, job: Any, seconds: float = 20.0) -> Any:
        assert job is not None, self.errors
        deadline = time.monotonic() + seconds
        while job.state == "working" and time.monotonic() < deadline:
            self.logic.poll()
            time.sleep(0.005)
        assert job.state != "working"
        return job


def segment(mask: np.ndarray, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "mask": Wire.packMask(Mask((0, 0, 0), mask)),
        "color": [200, 30, 40],
        "score": 0.9,
        "terminology": TERMINOLOGY,
        "prompt": "右肺上叶结节 | second\nline",
        "concept": {"id": "pulmonary_nodule"},
        "finding": None,
        "evidence": [],
    }


def blob(seed: int, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    random = np.random.default_rng(seed)
    mask = np.zeros(shape, bool)
    start = [int(random.integers(0, n - 4)) for n in shape]
    stop = [int(random.integers(a + 2, n + 1)) for a, n in zip(start, shape, strict=True)]
    box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    mask[box] = random.random(mask[box].shape) > 0.3
    return mask


RANKED = [
    {"rank": 1, "index": 3, "score": 0.91, "sop_instance_uid": "1.2", "position_lps": None,
     "evidence": [{"text": "a 12 mm nodule", "span": {"text": "结节"}, "center_kji": [3, 5, 6], "values": {}}]},
    {"rank": 2, "index": 7, "score": 0.4, "sop_instance_uid": None, "position_lps": None, "evidence": []},
]  # fmt: skip

VERDICTS = [
    {"statement": {"start": 0, "stop": 3, "text": "12 mm nodule."}, "answer": "yes", "confidence": 0.8,
     "reason": "a nodule, 11 mm", "code": "found", "engine": "builtin", "finding": {"sizes_mm": [12.0]},
     "evidence": [{"text": "n", "center_kji": [2, 3, 4],
                   "values": {"longest_diameter_mm": 11.4, "perpendicular_diameter_mm": 9.0}}]},
    {"statement": {"start": 4, "stop": 9, "text": "No effusion."}, "answer": "maybe", "confidence": 0.5,
     "reason": "not covered", "code": "x", "engine": "builtin", "finding": None, "evidence": []},
]  # fmt: skip


def in_scene(segmentation: Any, name: str, volume: Any) -> np.ndarray:
    ids = vtk.vtkStringArray()
    segmentation.GetSegmentation().GetSegmentIDs(ids)
    for n in range(ids.GetNumberOfValues()):
        if segmentation.GetSegmentation().GetSegment(ids.GetValue(n)).GetName() == name:
            # an independent way: Slicer's own export to the volume's geometry
            label = volume.GetScene().AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
            chosen = vtk.vtkStringArray()
            chosen.InsertNextValue(ids.GetValue(n))
            slicer.vtkSlicerSegmentationsModuleLogic.ExportSegmentsToLabelmapNode(segmentation, chosen, label, volume)
            from slicer import util

            array = util.arrayFromVolume(label) > 0
            volume.GetScene().RemoveNode(label)
            return array
    raise AssertionError(f"no segment {name}")


def draw(segmentation: Any, volume: Any, mask: np.ndarray, name: str) -> str:
    """A segment drawn by hand, on the layer that is there."""
    inner = segmentation.GetSegmentation()
    identifier = inner.AddEmptySegment("", name)
    image = orientedImage(cropped(mask), flipXY(gridOf(volume).toLPS))
    slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(image, segmentation, identifier)
    return str(identifier)


def under(bench: Bench, node: Any, seed: int) -> Any:
    transform = bench.mrml.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = oblique(seed, spacing=False)
    transform.SetMatrixTransformToParent(vtkMatrix(matrix))
    node.SetAndObserveTransformNodeID(transform.GetID())
    return transform
