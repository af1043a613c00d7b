"""A real Orthanc with its DICOMweb plugin on loopback, in a folder of its own."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

PLUGINS = [Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so"), Path("/usr/lib/orthanc/libOrthancDicomWeb.so")]
AET = "TESTPACS"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Orthanc:
    """One server; `start` and `stop` may be called again and again, what it stores stays."""

    def __init__(self, folder: Path) -> None:
        self._program = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")
        plugin = next((p for p in PLUGINS if p.is_file()), None)
        if self._program is None or plugin is None:
            pytest.skip("Orthanc with its DICOMweb plugin is not installed (Debian: orthanc orthanc-dicomweb)")
        self.http, self.dicom, self.move_port = free_port(), free_port(), free_port()
        self._config, self._log = folder / "orthanc.json", folder / "orthanc.log"
        settings = {
            "Name": "radfind-tests",
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "Plugins": [str(plugin)],
            "HttpPort": self.http,
            "DicomPort": self.dicom,
            "DicomAet": AET,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomAlwaysAllowFind": True,
            "DicomAlwaysAllowGet": True,
            "DicomAlwaysAllowStore": True,
            "DicomAlwaysAllowMove": True,
            "DicomModalities": {"radfind": ["RADFIND", "127.0.0.1", self.move_port]},
            "UnknownSopClassAccepted": True,
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }
        self._config.write_text(json.dumps(settings))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def web(self) -> str:
        return f"http://127.0.0.1:{self.http}/dicom-web"

    @property
    def dimse(self) -> str:
        return f"dimse://{AET}@127.0.0.1:{self.dicom}"

    @property
    def move(self) -> str:
        """By C-MOVE to a port that this archive knows as ours."""
        return f"{self.dimse}?move={self.move_port}"

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([str(self._program), str(self._config)], stdout=log, stderr=log)
        for _ in range(200):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/system", timeout=1):
                    return
            except OSError:
                if self._process.poll() is not None:
                    break
                time.sleep(0.1)
        raise RuntimeError(f"Orthanc did not start: {self._log.read_text(errors='replace')[-2000:]}")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
