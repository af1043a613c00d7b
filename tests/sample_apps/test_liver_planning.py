"""The liver planning sample, from the shared labels to every file it promises."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

APP = Path(__file__).resolve().parents[2] / "sample_apps" / "liver_planning"


@pytest.mark.slow
def test_plan_of_the_shared_abdomen(shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    data = shared_data("abdomen-ct")
    inputs = [str(data / name) for name in ("ct.nii.gz", "labels.nii.gz", "labels.json")]
    subprocess.run([sys.executable, str(APP / "plan.py"), *inputs, str(tmp_path)], check=True, capture_output=True)
    told = json.loads((tmp_path / "plan.json").read_text())
    # The stand-in is a ball of 25 mm; with 10 mm around it, one of 45 mm, all of it in the liver.
    assert told["lesion"]["volume_mm3"] == pytest.approx(np.pi / 6 * 25**3, rel=0.03)
    assert told["resected_ml"] == pytest.approx(np.pi / 6 * 45**3 / 1000, rel=0.05)
    assert told["ways"] and all(way["clearance_mm"] >= 3 for way in told["ways"])
    assert any("liver reaches the border" in note for note in told["notes"])  # the scan ends within the liver
    names = {file.name for file in tmp_path.iterdir()}
    assert {"segmentation.dcm", "measurements.dcm", "contours.dcm", "models.glb", "models.3mf", "axial.png"} <= names
    if shutil.which("dciodvfy"):
        for name in ("segmentation.dcm", "measurements.dcm", "contours.dcm"):
            done = subprocess.run(["dciodvfy", str(tmp_path / name)], capture_output=True, text=True)
            assert "Error" not in done.stdout + done.stderr
