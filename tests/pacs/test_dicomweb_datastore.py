"""A real Orthanc as MONAI Label's datastore: by itself, and behind the whole server."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from orthanc import Orthanc, free_port

import radfind
from radfind.client import RadFindClient
from radfind.errors import InputError
from radfind.exports.dicom_sr_reading import read_measurement_report
from radfind.imaging.labelmap_reading import read_segmentation
from radfind.imaging.writing import write_labelmap
from radfind.pacs import SeriesCache, connect
from radfind.results import Segment, Segmentation

pytest.importorskip("monailabel", reason="the server extra is not installed")
pytest.importorskip("dicomweb_client", reason="the pacs extra is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")


def test_archive_as_datastore(orthanc: Orthanc, scan: list[Path], tmp_path: Path) -> None:
    from monailabel.interfaces.exception import ImageNotFoundException

    from monailabel_app.dicomweb import DicomWebDatastore

    pacs = connect(orthanc.web)
    store = DicomWebDatastore(pacs, tmp_path / "store")
    pacs.store(scan)
    store.refresh()
    uid = str(pydicom.dcmread(scan[0]).SeriesInstanceUID)
    assert store.list_images() == [uid] == list(store.json()["objects"])
    assert store.get_image_info(uid)["Modality"] == "CT"
    assert not SeriesCache(tmp_path / "store" / "series").folder(uid).exists()  # listing fetches nothing
    volume = radfind.load(store.get_image_uri(uid))
    assert volume.array.shape == (40, 64, 64) and all(s.sop_instance_uid for s in volume.slices)

    mask = volume.array > 0
    label = write_labelmap(Segmentation(volume.geometry, (Segment("ball", mask),)), tmp_path / "label.nrrd", volume)
    store.save_label(uid, str(label), "draft", {})
    assert {r.modality for r in pacs.find_series()} == {"CT"}
    store.save_label(uid, str(label), "final", {"label_info": [{"name": "ball", "idx": 1}]})
    assert store.get_labeled_images() == [uid]
    (seg,) = [r for r in pacs.find_series() if r.modality == "SEG"]
    (file,) = SeriesCache(tmp_path / "back").get(pacs, seg.series_uid).iterdir()
    dataset = pydicom.dcmread(file)
    assert dataset.SegmentSequence[0].SegmentLabel == "ball"
    assert int(dataset.pixel_array.sum()) == int(mask.sum())
    store.refresh()
    assert store.list_images() == [uid]  # the SEG is no image

    with pytest.raises(ImageNotFoundException):
        store.get_image_uri("1.2.3")
    with pytest.raises(InputError, match="archive"):
        store.add_image("x", str(label), {})
    with pytest.raises(InputError, match="not deleted"):
        store.remove_image(uid)


def test_an_archive_that_is_away_is_no_end(orthanc: Orthanc, tmp_path: Path) -> None:
    from monailabel_app.dicomweb import DicomWebDatastore

    assert DicomWebDatastore(connect(f"http://127.0.0.1:{free_port()}/dicom-web"), tmp_path).list_images() == []


@pytest.mark.slow
def test_segment_and_rank_through_the_server_by_uid(orthanc: Orthanc, scan: list[Path], tmp_path: Path) -> None:
    from radfind.phantom import LesionSpec, make_phantom, write_dicom

    phantom = make_phantom(seed=4101, lesions=(LesionSpec("solid_nodule", "right", "upper", 16.0),))
    files = write_dicom(phantom.volume, tmp_path / "phantom")
    connect(orthanc.web).store(files)
    uid = str(pydicom.dcmread(files[0]).SeriesInstanceUID)
    port = free_port()
    command = [sys.executable, "-m", "radfind.cli", "serve", "--studies", orthanc.web, "--port", str(port)]
    environment = {**os.environ, "RADFIND_STATE_HOME": str(tmp_path / "state")}
    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
        try:
            client = RadFindClient(f"http://127.0.0.1:{port}")
            client.wait_until_ready(alive=lambda: process.poll() is None)
            assert uid in client.images()
            ranking = client.ask("radfind_rank", uid, text="nodule in the right upper lobe", top_k=3)
            uids = {str(pydicom.dcmread(f).SOPInstanceUID) for f in files}
            assert ranking["slices"] and all(item["sop_instance_uid"] in uids for item in ranking["slices"])
            reply = client.ask_file("radfind_segment", uid, tmp_path / "out.nrrd", text="both lungs")
            assert reply["segments"]
            assert np.any(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out.nrrd"))))
            text = "nodule in the right upper lobe"
            client.ask_file("radfind_export", uid, tmp_path / "out.zip", text=text, formats="seg,sr,ko")
        finally:
            process.terminate()
            process.wait(timeout=30)
    # What the server wrote goes back to the archive, is found there beside its series, fetched, and read.
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        archive.extractall(tmp_path / "sent")
    pacs = connect(orthanc.web)
    pacs.store(sorted((tmp_path / "sent").iterdir()))
    volume = radfind.load(tmp_path / "phantom")
    found = {r.modality: r.series_uid for r in pacs.find_series(StudyInstanceUID=str(volume.study_uid))}
    assert set(found) == {"CT", "SEG", "SR", "KO"}
    cache = SeriesCache(tmp_path / "fetched")
    back = {kind: next(cache.get(pacs, found[kind]).iterdir()) for kind in ("SEG", "SR", "KO")}
    nodule = read_segmentation(back["SEG"], volume).segments[0].mask
    truth = phantom.truth["lesion_1"]
    assert 2 * (nodule & truth).sum() / (nodule.sum() + truth.sum()) > 0.7
    numbers = {m.name.meaning: m.value for m in read_measurement_report(back["SR"], volume).measurements}
    assert numbers["Volume"] == pytest.approx(nodule.sum() * volume.geometry.voxel_volume)
    keys = pydicom.dcmread(back["KO"])
    shown = {r.ReferencedSOPInstanceUID for item in keys.ContentSequence for r in item.get("ReferencedSOPSequence", ())}
    assert shown <= uids and any(truth[k].any() for k, s in enumerate(volume.slices) if s.sop_instance_uid in shown)
