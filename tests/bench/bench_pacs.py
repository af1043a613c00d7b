"""From an archive to voxels: ours against plain dicomweb-client and MONAI Label's datastore path, in the same run.

    python tests/bench/bench_pacs.py [slices] [rows]

Needs Orthanc with its DICOMweb plugin (Debian: orthanc orthanc-dicomweb); starts one of its own on loopback.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "pacs"))
from orthanc import Orthanc

import radfind
from radfind.pacs import SeriesCache, SeriesRecord, connect
from radfind.phantom import write_dicom
from radfind.volume import Geometry, Volume

RUNS = 2


def timed(name: str, work: Callable[[int], object]) -> None:
    times = []
    for run in range(RUNS):
        start = time.perf_counter()
        work(run)
        times.append(time.perf_counter() - start)
    print(f"{name:<58}{min(times):8.2f} s (best of {RUNS})", flush=True)


def plain_client(server: Orthanc, record: SeriesRecord) -> np.ndarray:
    """All instances by one WADO-RS request, sorted and stacked."""
    from dicomweb_client.api import DICOMwebClient

    found = DICOMwebClient(server.web).retrieve_series(record.study_uid, record.series_uid)
    found.sort(key=lambda ds: float(ds.ImagePositionPatient[2]))
    return np.stack([ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept) for ds in found])


def monailabel_path(server: Orthanc, record: SeriesRecord, folder: Path) -> np.ndarray:
    """What MONAI Label 0.8.5 does with a series: download, convert to NIfTI, read the NIfTI."""
    from dicomweb_client.api import DICOMwebClient
    from monai.transforms import LoadImage
    from monailabel.datastore.utils.convert import dicom_to_nifti
    from monailabel.datastore.utils.dicom import dicom_web_download_series

    dicom_web_download_series(record.study_uid, record.series_uid, str(folder), DICOMwebClient(server.web))
    return np.asarray(LoadImage(image_only=True)(dicom_to_nifti(str(folder))))


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    slices = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    rows = int(sys.argv[2]) if len(sys.argv) > 2 else 512
    array = np.random.default_rng(1).integers(-1000, 1000, (slices, rows, rows)).astype(np.int16)
    volume = Volume(array, Geometry.from_parts(array.shape, spacing=(1.0, 0.8, 0.8)), "CT")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = write_dicom(volume, folder / "ct")
        server = Orthanc(folder)
        server.start()
        try:
            pacs = connect(server.web)
            print(f"{slices} slices of {rows} x {rows}, {sum(f.stat().st_size for f in files) / 1e6:.0f} MB")
            start = time.perf_counter()
            pacs.store(files)
            print(f"{'to the archive by STOW-RS':<58}{time.perf_counter() - start:8.2f} s", flush=True)
            (record,) = pacs.find_series()
            uid = record.series_uid
            web, dimse = pacs, connect(server.dimse)
            timed("ours, DICOMweb to Volume", lambda n: radfind.load(SeriesCache(folder / f"w{n}").get(web, uid)))
            timed("ours, DIMSE to Volume", lambda n: radfind.load(SeriesCache(folder / f"d{n}").get(dimse, uid)))
            timed("ours, again from the cache", lambda _: radfind.load(SeriesCache(folder / "w0").get(web, uid)))
            timed("plain dicomweb-client to array", lambda _: plain_client(server, record))
            try:
                import monailabel  # noqa: F401
            except ModuleNotFoundError:
                print("MONAI Label is not installed; its path was not timed.")
                return
            timed("MONAI Label's path (NIfTI) to array", lambda n: monailabel_path(server, record, folder / f"m{n}"))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
