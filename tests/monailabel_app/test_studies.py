"""A folder of scans as MONAI Label sees it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from gateway_fakes import nrrd

from radfind.errors import InputError

pytest.importorskip("monailabel", reason="the server extra is not installed")
from monailabel.interfaces.exception import ImageNotFoundException, LabelNotFoundException

from monailabel_app.studies import StudiesDatastore
from radfind.phantom import make_phantom, write_dicom


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small DICOM series."""
    folder = tmp_path_factory.mktemp("series")
    write_dicom(make_phantom(seed=11, shape=(8, 32, 32)).volume, folder)
    return folder


@pytest.fixture
def store(tmp_path: Path) -> StudiesDatastore:
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "scan 1.nrrd").write_bytes(nrrd())
    return StudiesDatastore(tmp_path / "studies")


def zipped(series: Path, target: Path) -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for number, file in enumerate(sorted(series.iterdir())):
            archive.write(file, f"study/IM{number}")
    return target


def label(folder: Path) -> str:
    (folder / "label.nrrd").write_bytes(nrrd())
    return str(folder / "label.nrrd")


def test_a_series_from_a_zip(store: StudiesDatastore, series: Path, tmp_path: Path) -> None:
    archive = zipped(series, tmp_path / "a.zip")
    uid = store.add_series(archive, {"user": "li"})
    assert uid in store.list_images() and store.get_image_info(uid)["user"] == "li"
    assert len(list(Path(store.get_image_uri(uid)).iterdir())) == 8
    with pytest.raises(InputError, match="already"):
        store.add_series(archive, {})
    again = StudiesDatastore(tmp_path / "studies")
    assert set(again.list_images()) == {uid, "scan 1"}
    assert not list((tmp_path / "studies").glob(".incoming*"))


def test_no_series_in_it(store: StudiesDatastore, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("readme", "hello")
    with pytest.raises(InputError):
        store.add_series(tmp_path / "a.zip", {})
    assert store.list_images() == ["scan 1"] and not list((tmp_path / "studies").glob(".incoming*"))


def test_images_are_never_replaced(store: StudiesDatastore, tmp_path: Path) -> None:
    file = label(tmp_path)
    assert store.add_image("new", file, {}) == "new"
    with pytest.raises(InputError, match="already"):
        store.add_image("new", file, {})
    for bad in ("../x", "/x", "a/b", ".x"):
        with pytest.raises(InputError):
            store.add_image(bad, file, {})
    with pytest.raises(InputError, match="must be one of"):
        store.add_image("code", __file__, {})


def test_labels(store: StudiesDatastore, tmp_path: Path) -> None:
    file = label(tmp_path)
    store.save_label("scan 1", file, "final", {"user": "li"})
    store.save_label("scan 1", file, "final", {"user": "wang"})
    assert store.get_label_info("scan 1", "final")["user"] == "wang"
    assert [v.info["user"] for v in store.labels().history("scan 1", "final")] == ["li", "wang"]
    assert store.get_labeled_images() == ["scan 1"] and store.status()["completed"] == 1
    assert store.json()["objects"]["scan 1"]["labels"]["final"]["ext"] == ".nrrd"
    assert store.status()["label_tags"] == {"final": 1}
    store.remove_label("scan 1", "final")
    assert store.status()["label_tags"] == {}
    with pytest.raises(LabelNotFoundException):
        store.get_label_uri("scan 1", "final")
    assert len(store.labels().history("scan 1", "final")) == 2
    with pytest.raises(ImageNotFoundException):
        store.save_label("nothing", file, "final", {})
    with pytest.raises(InputError):
        store.save_label("scan 1", file, "../../x", {})


def test_nothing_is_left_outside_the_folder(store: StudiesDatastore, series: Path, tmp_path: Path) -> None:
    uid = store.add_series(zipped(series, tmp_path / "a.zip"), {})
    links = Path(store.get_image_uri(uid)).parent
    assert links.is_dir() and not links.is_relative_to(tmp_path / "studies")
    store.close()
    assert not links.exists()
    assert len(list((tmp_path / "studies" / "uploads" / uid).iterdir())) == 8  # the scan itself stays
