"""The command line's contract with scripts: exit codes, JSON on stdout, messages on stderr."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from radfind import cli
from radfind.cli.output import exit_code


def run(*arguments: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["radfind", *arguments])
    code = 0
    try:
        cli.main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def radfind(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    return lambda *arguments: run(*arguments, capsys=capsys, monkeypatch=monkeypatch)


def test_help_imports_nothing_heavy() -> None:
    probe = (
        "import sys\nfrom radfind import cli\nsys.argv=['radfind','--help']\n"
        "try: cli.main()\nexcept SystemExit: pass\n"
        "heavy={'torch','transformers','monai','SimpleITK','scipy','numpy','skimage','ultralytics'}\n"
        "print('LOADED', sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout
    assert "LOADED []" in out


@pytest.mark.parametrize(
    "command", ["segment", "rank", "verify", "report", "evaluate", "info", "engines", "serve", "demo"]
)
def test_every_command_shows_an_example(radfind, command: str) -> None:
    code, out, _ = radfind(command, "--help")
    assert code == 0
    assert f"Example: radfind {command}" in " ".join(out.split())


@pytest.mark.parametrize(
    ("module", "extra"),
    [
        ("vtkmodules.vtkCommonCore", "export"),
        ("highdicom", "export"),
        ("fhir.resources", "export"),
        ("pynetdicom", "pacs"),
        ("httpx", "server"),
        ("monailabel", "server"),
        ("itk", "examples"),
        ("ultralytics", "yoloe"),
    ],
)
def test_an_absent_package_names_the_extra_that_brings_it(capsys, module: str, extra: str) -> None:
    code = exit_code(ModuleNotFoundError(f"No module named '{module}'", name=module))
    assert code == 2
    assert f"pip install 'radfind[{extra}]'" in " ".join(capsys.readouterr().err.split())


def test_an_absent_package_that_no_extra_brings_is_a_fault(capsys) -> None:
    assert exit_code(ModuleNotFoundError("No module named 'nowhere'", name="nowhere")) == 1
    assert "radfind[" not in capsys.readouterr().err


def test_wrong_usage_exits_2(radfind) -> None:
    code, out, err = radfind("rank")
    assert code == 2
    assert out == ""
    assert "PATH" in err


@pytest.mark.parametrize("text", ["", "   \n"])
def test_empty_text_is_one_paragraph(radfind, tmp_path: Path, text: str) -> None:
    image = _image(tmp_path / "a.nrrd")
    code, out, err = radfind("rank", str(image), "--text", text, "--json")
    assert (code, out) == (2, "")
    assert "empty" in err
    assert "\n\n" not in err.strip()


def test_a_megabyte_of_text_is_refused_quickly(tmp_path: Path, radfind) -> None:
    image = _image(tmp_path / "a.nrrd")
    words = tmp_path / "long.txt"
    words.write_text("nodule " * 150_000)
    began = time.monotonic()
    code, _, err = radfind("verify", str(image), "--text-file", str(words))
    assert code == 2
    assert "characters" in err
    assert time.monotonic() - began < 60


def test_missing_scan_exits_2_and_names_it(radfind, tmp_path: Path) -> None:
    code, _, err = radfind("info", str(tmp_path / "nowhere"))
    assert code == 2
    assert "nowhere" in err


def test_unknown_engine_lists_the_known(radfind, tmp_path: Path) -> None:
    image = _image(tmp_path / "a.nrrd")
    code, _, err = radfind("rank", str(image), "--text", "nodule", "--engine", "oracle")
    assert code == 2
    assert "builtin" in err


def test_output_is_never_replaced_unasked(radfind, tmp_path: Path) -> None:
    image = _image(tmp_path / "a.nrrd")
    mine = tmp_path / "mine.nrrd"
    mine.write_bytes(b"precious")
    code, _, err = radfind("segment", str(image), "--text", "lungs", "--output", str(mine))
    assert code == 2
    assert "--overwrite" in err
    assert mine.read_bytes() == b"precious"


@pytest.mark.parametrize("option", [("--point", "1,2"), ("--point", "a,b,c"), ("--box", "1,2,3")])
def test_malformed_prompts_are_named(radfind, tmp_path: Path, option: tuple[str, str]) -> None:
    image = _image(tmp_path / "a.nrrd")
    code, _, err = radfind("segment", str(image), *option, "--output", str(tmp_path / "o.nrrd"))
    assert code == 2
    assert option[1] in err


def test_a_format_that_cannot_be_written_is_said_before_the_search(radfind, tmp_path: Path) -> None:
    """The scan does not exist: had it been looked at, that would be the error."""
    code, _, err = radfind(
        "segment", str(tmp_path / "no.nrrd"), "--text", "nodule", "--output", str(tmp_path / "o.xyz")
    )
    assert code == 2 and "o.xyz" in err and ".nii.gz" in err


def test_outlines_come_with_the_json_document_only(radfind, tmp_path: Path) -> None:
    image = tmp_path / "a.nrrd"
    array = np.zeros((4, 24, 24), np.int16)
    array[:, 8:16, 8:16] = 300
    sitk.WriteImage(sitk.GetImageFromArray(array), str(image))
    command = ("segment", str(image), "--box", "1,6,6,2,17,17", "--output", str(tmp_path / "o.nrrd"), "--polygons")
    code, _, err = radfind(*command)
    assert code == 2 and "give --json" in err
    code, out, _ = radfind(*command, "--json")
    assert code == 0
    (segment,) = json.loads(out)["segments"]
    assert {outline["k"] for outline in segment["polygons"]} <= {0, 1, 2, 3} and segment["polygons"][0]["points"]


def test_report_as_json(radfind, tmp_path: Path) -> None:
    file = tmp_path / "report.txt"
    file.write_text("右肺上叶尖段见混合磨玻璃结节，大小约12mm×9mm。", encoding="utf-8")
    code, out, _ = radfind("report", str(file), "--json")
    assert code == 0
    (finding,) = json.loads(out)["findings"]
    assert finding["concept"]["id"] == "part_solid_nodule"
    assert finding["place"]["side"] == "right"
    assert finding["sizes_mm"] == [12.0, 9.0]


def test_report_against_images(radfind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in engine denies everything in an image of zeros and confirms everything elsewhere."""
    import radfind as api
    from radfind.language.reader import read
    from radfind.results import Verdict

    def verify(volume, text, **options):
        answer = "yes" if volume.array.any() else "no"
        return tuple(Verdict(f.sentence, answer, 0.9, "looked", answer, f) for f in read(text).findings)

    monkeypatch.setattr(api, "verify", verify)
    report, empty, full = tmp_path / "report.txt", tmp_path / "empty.nrrd", tmp_path / "full.nrrd"
    report.write_text("Nodule in the right lung.\nPleural effusion in figure 2.", encoding="utf-8")
    for path, value in ((empty, 0), (full, 1)):
        sitk.WriteImage(sitk.GetImageFromArray(np.full((2, 8, 8), value, np.int16)), str(path))
    page = tmp_path / "check.html"
    code, out, _ = radfind("report", str(report), str(full), str(empty), "--json", "--html", str(page))
    assert code == 3 and page.is_file()
    wire = json.loads(out)
    assert [one["answer"] for one in wire["statements"]] == ["yes", "no"]
    assert "Paragraph 2 does not agree with Figure 2" in wire["summary"][0]
    code, out, _ = radfind("report", str(report), f"Figure 2={full}", str(full))
    assert code == 2  # two figures would be called Figure 2
    code, out, _ = radfind("report", str(report), str(full), str(full))
    assert code == 0 and out.startswith("No statement is contradicted.")
    assert radfind("report", str(report), "--html", str(page))[0] == 2
    assert radfind("report", str(report), str(tmp_path / "none.nrrd"))[0] == 2


def test_engines_says_what_is_missing(radfind) -> None:
    code, out, _ = radfind("engines", "--json")
    engines = {item["name"]: item for item in json.loads(out)["engines"]}
    assert code == 0
    assert engines["builtin"]["available"]
    assert all(item["available"] or item["unavailable_reason"] for item in engines.values())


def test_a_closed_pipe_is_no_traceback(tmp_path: Path) -> None:
    command = f"{sys.executable} -m radfind.cli engines --json | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env={**os.environ})
    assert "Traceback" not in done.stderr


def _image(path: Path) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 8, 8), np.int16)), str(path))
    return path


def test_models_come_from_a_folder_and_are_checked(radfind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RADFIND_MODELS", str(tmp_path / "models"))
    source = tmp_path / "weights"
    source.mkdir()
    (source / "yoloe-11s-seg.pt").write_bytes(b"not a network, but a file with a hash")
    assert radfind("models", "path", "yoloe-11s")[0] == 1
    code, out, err = radfind("models", "pull", "yoloe-11s", "--from", str(source), "--yes")
    assert code == 0, err
    assert "AGPL-3.0" in out
    assert radfind("models", "verify", "yoloe-11s")[0] == 0
    folder = Path(radfind("models", "path", "yoloe-11s")[1].strip())
    (folder / "yoloe-11s-seg.pt").write_bytes(b"tampered")
    code, _, err = radfind("models", "verify", "yoloe-11s")
    assert code == 2
    assert "yoloe-11s-seg.pt" in err
