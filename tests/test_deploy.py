"""The files in deploy/ agree with the command line, and pass the checkers that are installed."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from radfind.cli import app

DEPLOY = Path(__file__).resolve().parent.parent / "deploy"


def serve_options() -> set[str]:
    command = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    return {name for parameter in command.params for name in parameter.opts}


def used_options() -> dict[str, list[str]]:
    docker = re.search(r"^CMD (\[\"serve\".*\])$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    unit = re.search(r"^ExecStart=(.*)$", (DEPLOY / "radfind.service").read_text(), re.MULTILINE)
    assert docker is not None and unit is not None
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["radfind"]["command"]
    return {"Dockerfile": json.loads(docker[1]), "radfind.service": shlex.split(unit[1]), "compose.yaml": compose}


@pytest.mark.parametrize("name", ["Dockerfile", "radfind.service", "compose.yaml"])
def test_options_exist(name: str) -> None:
    used = {word.split("=")[0] for word in used_options()[name] if word.startswith("--")}
    assert used and used <= serve_options()


def test_the_container_is_confined() -> None:
    service: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["radfind"]
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
    assert "ports" not in service and service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}
    gpu = yaml.safe_load((DEPLOY / "compose.gpu.yaml").read_text())["services"]["radfind"]["deploy"]
    assert gpu["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]
    assert re.search(r"^USER 10001$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)


def test_dockerfile_lint() -> None:
    if shutil.which("hadolint") is None:
        pytest.skip("hadolint is not installed")
    checked = subprocess.run(["hadolint", DEPLOY / "Dockerfile"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


def test_unit_is_valid(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    text = (DEPLOY / "radfind.service").read_text().replace("/opt/radfind/bin/radfind", "/bin/true")
    unit = tmp_path / "radfind.service"
    unit.write_text(re.sub(r"^(User|Group)=.*$", "", text, flags=re.MULTILINE))
    checked = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def test_nginx_hides_ids_and_passes_streams() -> None:
    text = (DEPLOY / "nginx.conf").read_text()
    assert "proxy_buffering off" in text and "proxy_request_buffering off" in text
    assert "$request_uri" not in text and "$args" not in text
