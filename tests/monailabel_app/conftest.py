"""One real server, started on loopback, over a folder with a DICOM phantom and a NIfTI file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import SimpleITK as sitk
from serving import serving

from radfind.client import RadFindClient
from radfind.phantom import LesionSpec, Phantom, make_phantom, write_dicom


class Server:
    """A running server: its address, the phantom it holds, and the ids of its images."""

    def __init__(self, url: str, phantom: Phantom, folder: Path) -> None:
        self.url = url
        self.phantom = phantom
        self.folder = folder
        self.client = RadFindClient(url)
        self.series = ""
        self.nifti = "second"


@pytest.fixture(scope="session", autouse=True)
def patience() -> Iterator[None]:
    """httpx gives up after five seconds unless told: too soon for a machine under load."""
    with pytest.MonkeyPatch.context() as patch:
        for part in ("connect", "read", "write", "pool"):
            patch.setattr(httpx._config.DEFAULT_TIMEOUT_CONFIG, part, 100.0)
        yield


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    pytest.importorskip("monailabel", reason="the server extra is not installed")
    folder = tmp_path_factory.mktemp("studies")
    phantom = make_phantom(seed=4101, lesions=(LesionSpec("solid_nodule", "right", "upper", 16.0),))
    scan = folder / "series-a"
    scan.mkdir()
    write_dicom(phantom.volume, scan)
    image = sitk.GetImageFromArray(phantom.volume.array)
    image.SetSpacing(phantom.volume.geometry.spacing[::-1])
    image.SetOrigin(phantom.volume.geometry.origin)
    sitk.WriteImage(image, str(folder / "second.nii.gz"))
    with serving(folder, tmp_path_factory.mktemp("log") / "server.log") as url:
        running = Server(url, phantom, folder)
        running.series = next(image for image in running.client.images() if image != running.nifti)
        yield running
