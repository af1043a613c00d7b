"""Dice between two saved labels of a case."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

pytest.importorskip("monailabel", reason="the server extra is not installed")

from monailabel_app.scoring import LabelDice
from monailabel_app.studies import StudiesDatastore
from radfind.errors import ImageError


def written(path: Path, array: np.ndarray) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
    return path


@pytest.fixture
def store(tmp_path: Path) -> StudiesDatastore:
    (tmp_path / "studies").mkdir()
    scan = np.arange(8 * 8 * 8, dtype=np.int16).reshape(8, 8, 8)
    for name in ("both", "one", "points"):
        written(tmp_path / "studies" / f"{name}.nrrd", scan)
    return StudiesDatastore(tmp_path / "studies")


def save(store: StudiesDatastore, tmp_path: Path, image: str, tag: str, array: np.ndarray, **names: int) -> None:
    file = written(tmp_path / "label.nrrd", array.astype(np.uint8))
    store.save_label(image, str(file), tag, {"label_names": names})


def test_structures_are_paired_by_name_whatever_their_values(store: StudiesDatastore, tmp_path: Path) -> None:
    first, accepted = np.zeros((8, 8, 8)), np.zeros((8, 8, 8))
    first[0, :4], first[4, :2] = 1, 2  # liver 32 voxels, spleen 16
    accepted[0, 2:6], accepted[4, :2], accepted[6, 0, 0] = 2, 1, 3  # half of the liver, all of the spleen, a cyst
    save(store, tmp_path, "both", "original", first, liver=1, spleen=2)
    save(store, tmp_path, "both", "final", accepted, liver=2, spleen=1, cyst=3)
    save(store, tmp_path, "one", "final", accepted, liver=2)
    (tmp_path / "points.json").write_text("{}")
    for tag in ("original", "final"):
        store.save_label("points", str(tmp_path / "points.json"), tag, {})
    dice = LabelDice()({"method": "dice"}, store)
    assert dice == {"both": pytest.approx((0.5 + 1.0 + 0.0) / 3)}
    assert store.get_image_info("both")["dice"] == dice["both"]
    assert LabelDice()({"y": "final", "y_pred": "final"}, store) == {"both": 1.0, "one": 1.0}


def test_labels_drawn_empty(store: StudiesDatastore, tmp_path: Path) -> None:
    nothing, something = np.zeros((8, 8, 8)), np.ones((8, 8, 8))
    for tag, array in (("original", nothing), ("final", nothing)):
        save(store, tmp_path, "both", tag, array)
    for tag, array in (("original", nothing), ("final", something)):
        save(store, tmp_path, "one", tag, array)
    assert LabelDice()({}, store) == {"both": 1.0, "one": 0.0}


def test_a_label_on_another_grid_is_an_error(store: StudiesDatastore, tmp_path: Path) -> None:
    for tag, size in (("original", 8), ("final", 6)):
        save(store, tmp_path, "both", tag, np.ones((size, size, size)))
    with pytest.raises(ImageError):
        LabelDice()({}, store)
