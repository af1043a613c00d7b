"""The shared scans through a real server and the stock client: what people read by eye, and what they labelled."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from serving import serving

monailabel_client = pytest.importorskip("monailabel.client", reason="the server extra is not installed")

BONES = ("vertebra", "rib_", "sacrum", "hip_", "femur", "sternum", "clavicula", "scapula", "humerus")
"""How the bone labels of the shared abdomen begin."""


class Asking:
    """A stock client, and the ids of the two scans."""

    def __init__(self, url: str, folder: Path, data: Path) -> None:
        self.client = monailabel_client.MONAILabelClient(url, tmpdir=str(folder))
        ids = self.client.datastore()["objects"]
        self.chest = next(name for name in ids if name != "abdomen")
        self.labels = sitk.ReadImage(str(data / "labels.nii.gz"))
        self.names: dict[str, str] = json.loads((data / "labels.json").read_text(encoding="utf-8"))

    def json(self, model: str, image: str, text: str) -> dict[str, Any]:
        _, reply = self.client.infer(model, image, {"text": text})
        return dict(json.loads(reply)) if isinstance(reply, bytes) else reply

    def mask(self, text: str) -> np.ndarray:
        """What `text` means on the abdomen, in the order of the labels' voxels."""
        file, _ = self.client.infer("radfind_segment", "abdomen", {"text": text})
        found = sitk.ReadImage(file)
        np.testing.assert_allclose(found.GetDirection(), self.labels.GetDirection(), atol=1e-6)
        np.testing.assert_allclose(found.GetOrigin(), self.labels.GetOrigin(), atol=1e-3)
        return np.asarray(sitk.GetArrayFromImage(found) > 0)

    def union(self, *starts: str) -> np.ndarray:
        chosen = [int(number) for number, name in self.names.items() if name.startswith(starts)]
        return np.isin(sitk.GetArrayFromImage(self.labels), chosen)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2.0 * np.logical_and(a, b).sum() / (a.sum() + b.sum()))


@pytest.fixture(scope="module")
def asking(shared_data: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    studies = tmp_path_factory.mktemp("real")
    shutil.copytree(shared_data("chest-ct"), studies / "chest")
    shutil.copy(shared_data("abdomen-ct") / "ct.nii.gz", studies / "abdomen.nii.gz")
    with serving(studies, tmp_path_factory.mktemp("log") / "server.log") as url:
        yield Asking(url, tmp_path_factory.mktemp("replies"), shared_data("abdomen-ct"))


@pytest.fixture(scope="module")
def cases(shared_cases: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {case["id"]: case for case in shared_cases["chest-ct"]["queries"]}


@pytest.mark.parametrize("name", ["nodule-en", "nodule-zh"])
def test_a_slice_of_the_nodule_is_first(asking: Asking, cases: dict[str, dict[str, Any]], name: str) -> None:
    first, last = cases[name]["slices"]
    best = asking.json("radfind_rank", asking.chest, cases[name]["text"])["slices"][0]
    assert first <= best["index"] <= last


@pytest.mark.parametrize("name", ["absent-nodule", "absent-pneumothorax", "wrong-kind"])
def test_what_is_not_there_is_never_affirmed(asking: Asking, cases: dict[str, dict[str, Any]], name: str) -> None:
    verdicts = asking.json("radfind_verify", asking.chest, cases[name]["text"])["verdicts"]
    assert verdicts and all(verdict["answer"] in ("no", "maybe") for verdict in verdicts)
    reasons = {"not_found", "not_covered", "not_supported", "wrong_place", "wrong_size", "wrong_kind", "hedged"}
    assert {verdict["code"] for verdict in verdicts} <= reasons
    if name == "absent-nodule":
        assert verdicts[0]["answer"] == "no"


def test_skeleton_and_lung_bases_overlap_the_labels(asking: Asking) -> None:
    assert dice(asking.mask("skeleton"), asking.union(*BONES)) >= 0.75
    assert dice(asking.mask("lung bases"), asking.union("lung_")) >= 0.90


def test_what_density_alone_cannot_tell_is_not_supported(asking: Asking) -> None:
    with pytest.raises(Exception, match=r"422.*does not know .*pancreatic duct"):
        asking.client.infer("radfind_segment", "abdomen", {"text": "pancreatic duct"})
