"""MONAI Label's own endpoint tests against plain MONAI Label, and against the gateway over the same app and over ours.

Run: ``python tests/monailabel_app/endpoint_suite.py CHECKOUT`` with a checkout of MONAI Label 0.8.5's repository;
prints how many tests pass on each and which do not. The scans, apps and weights they expect are not in that repository:
made-up scans and a trivial app stand in for them, so a test that needs more than that fails on all three.
"""

from __future__ import annotations

import argparse
import importlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
SERVERS = ("plain", "gateway", "radfind")
SCANS = ("spleen_3", "spleen_8", "spleen_9", "spleen_10")


def lay_out(checkout: Path, base: Path, own_app: bool) -> Path:
    """The folders the tests expect; returns that of the tests."""
    import numpy as np
    import SimpleITK as sitk

    tests = base / "tests"
    shutil.copytree(checkout / "tests" / "unit" / "endpoints", tests / "unit" / "endpoints")
    (tests / "unit" / "__init__.py").touch()
    app = HERE.parents[1] / "monailabel_app" if own_app else HERE / "plain_app"
    for name in ("radiology", "pathology", "monaibundle"):
        (base / "sample-apps" / name).mkdir(parents=True)
        shutil.copy(app / "main.py", base / "sample-apps" / name)
    local = tests / "data" / "dataset" / "local" / "spleen"
    final = local / "labels" / "final"
    final.mkdir(parents=True)
    array = np.zeros((8, 16, 16), np.int16)
    array[2:5, 4:9, 4:9] = 1
    for scan in SCANS:
        sitk.WriteImage(sitk.GetImageFromArray(array * 100), str(local / f"{scan}.nii.gz"))
    for scan in SCANS[:2]:
        sitk.WriteImage(sitk.GetImageFromArray(array), str(final / f"{scan}.nii.gz"))
    for empty in ("pathology", "detection"):
        (tests / "data" / empty).mkdir()
    if own_app:
        _take_over_labels(local)
    return tests


def _take_over_labels(studies: Path) -> None:
    """Labels in the layout of our datastore, which keeps versions, beside the files that tests send."""
    from monailabel_app.labels import LabelStore

    for file in sorted((studies / "labels" / "final").glob("*.nii.gz")):
        LabelStore(studies / "labels").save(file.name.removesuffix(".nii.gz"), "final", file, {})


def through_the_gateway(create_client: Any) -> Any:
    """Their `create_client`, with our gateway in front of what it makes."""

    def create(app_dir: str, studies: str, data_dir: str, conf: Any = None) -> Any:
        from fastapi.testclient import TestClient

        from monailabel_app.gateway.app import create
        from monailabel_app.gateway.backend import Backend
        from monailabel_app.gateway.policy import DOORS
        from monailabel_app.gateway.settings import Settings

        plain = create_client(app_dir, studies, data_dir, conf)

        def load() -> tuple[Any, Any]:
            from monailabel.interfaces.utils.app import app_instance

            return plain.app, app_instance()

        state = Path(tempfile.mkdtemp(dir=Path(data_dir)))
        settings = Settings(studies, state, hosts=("testserver",), open_doors=frozenset(DOORS), rate=1e6)
        backend = Backend(load)
        client = TestClient(create(settings, backend))
        client.__enter__()  # starts it; it ends with this process
        backend.wait(60)
        return client

    return create


class Outcomes:
    """A pytest plugin: which tests passed."""

    def __init__(self) -> None:
        self.passed: dict[str, bool] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        name = report.nodeid.rsplit("/", 1)[-1]
        self.passed[name] = self.passed.get(name, True) and report.outcome == "passed"


def run(checkout: Path, server: str) -> dict[str, bool]:
    """All tests against one server, in this process: MONAI Label's settings are global."""
    with tempfile.TemporaryDirectory() as folder:
        tests = lay_out(checkout, Path(folder).resolve(), server == "radfind")
        sys.path.insert(0, str(tests))
        context = importlib.import_module("unit.endpoints.context")
        if server != "plain":
            context.create_client = through_the_gateway(context.create_client)  # type: ignore[attr-defined]
        outcomes = Outcomes()
        options = ["-q", "-p", "no:cacheprovider", "-p", "no:randomly", "--rootdir", folder, "-c", "/dev/null"]
        pytest.main([*options, str(tests / "unit" / "endpoints")], plugins=[outcomes])
        return outcomes.passed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--on", choices=SERVERS, help="this one only, with its tracebacks; the outcomes as JSON last")
    arguments = parser.parse_args()
    if arguments.on:
        print(json.dumps(run(arguments.checkout, arguments.on)), flush=True)
        return
    results: dict[str, dict[str, bool]] = {}
    for server in SERVERS:
        command = [sys.executable, __file__, str(arguments.checkout), "--on", server]
        output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        results[server] = json.loads(output.splitlines()[-1])
        print(f"{server}: {sum(results[server].values())} of {len(results[server])} pass", flush=True)
    for test in sorted(set().union(*results.values())):
        missed = [server for server in SERVERS if not results[server].get(test, False)]
        if missed:
            print(f"    {test}: not on {', '.join(missed)}")


if __name__ == "__main__":
    main()
