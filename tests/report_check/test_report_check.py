"""The report check against answers that are known: an engine that looks at a number in the image."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import radfind
from radfind.engines.api import Context
from radfind.errors import CancelledError, InputError, NotSupportedError
from radfind.exports.report_page import write_report_page
from radfind.language.reader import read
from radfind.phantom import write_dicom
from radfind.report_check import Figure, check_report, load_figures, report_check_to_wire
from radfind.report_check.figures import named_figures
from radfind.results import Evidence, Verdict
from radfind.volume import Geometry, Volume

TEXT = "Nodule in the right lung.\n\nPleural effusion is seen in figure 2.\nNo pneumothorax.\n"


def _volume(value: int, modality: str = "CT") -> Volume:
    geometry = Geometry.from_parts((3, 16, 16), spacing=(2.0, 1.0, 1.0))
    return Volume(np.full((3, 16, 16), value, np.int16), geometry, modality)


def _figures(*values: int) -> list[Figure]:
    return [Figure(f"Figure {n}", _volume(value)) for n, value in enumerate(values, start=1)]


ANSWERS = {0: "maybe", 1: "yes", 2: "no"}
"""What the stand-in engine says of a nodule in an image filled with this number; effusion: yes at 1; the rest maybe."""


def _verify(volume: Volume, text: str, **options: object) -> tuple[Verdict, ...]:
    if volume.modality == "MR":
        raise NotSupportedError("MR is not judged.")
    value = int(volume.array[0, 0, 0])
    made = []
    for finding in read(text).findings:
        answer = ANSWERS[value] if finding.concept.id == "pulmonary_nodule" else "maybe"
        if finding.concept.id == "pleural_effusion":
            answer = "yes" if value == 1 else "no"
        mask = volume.array > 0
        evidence = (Evidence("seen", mask=mask),) if mask.any() else ()
        made.append(Verdict(finding.sentence, answer, 0.5 + value / 10, f"value {value}", answer, finding, evidence))  # type: ignore[arg-type]
    return tuple(made)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(radfind, "verify", _verify)


@pytest.mark.parametrize(
    ("values", "expected"),
    [((0,), "maybe"), ((1,), "yes"), ((2,), "no"), ((0, 1), "yes"), ((0, 2), "no"), ((1, 2), "no"), ((2, 1, 0), "no")],
)
def test_the_surest_of_those_who_know_decides(counted: None, values: Sequence[int], expected: str) -> None:
    first = check_report(TEXT, _figures(*values)).statements[0]
    assert (first.answer, first.paragraph, len(first.verdicts)) == (expected, 1, len(values))
    assert first.verdict.answer == expected


def test_a_named_figure_is_the_only_one_asked(counted: None) -> None:
    check = check_report(TEXT, _figures(1, 2, 1))
    effusion = check.statements[1]
    assert (effusion.figures, effusion.answer, effusion.paragraph, effusion.named) == ((1,), "no", 2, True)
    assert effusion.message == "Paragraph 2 does not agree with Figure 2 (CT): value 2"
    assert [one.answer for one in check.statements] == ["no", "no", "maybe"]  # figure 2 is surest of the nodule, too
    assert len(check.summary) == 2 and effusion.message in check.summary


def test_a_figure_that_was_not_given_is_not_guessed(counted: None) -> None:
    text = "Nodule in figure 5.\nNodule in figures 1 and 7.\nNodule in the lung."
    lacking, partly, plain = check_report(text, _figures(1, 2)).statements
    assert (lacking.answer, lacking.named) == ("maybe", False)
    assert lacking.message == "Paragraph 1 cannot be decided from the images: Figure 5 was not given."
    assert (partly.answer, partly.figures) == ("yes", (0,))
    assert partly.message == "Paragraph 2 agrees with Figure 1 (CT): value 1 Figure 7 was not given."
    assert plain.answer == "no"


def test_a_figure_that_is_not_judged_never_becomes_another(counted: None) -> None:
    figures = [*_figures(1), Figure("Figure 2", _volume(1, "MR"))]
    check = check_report(TEXT, figures)
    assert [one.answer for one in check.statements] == ["yes", "maybe", "maybe"]
    assert "Figure 2 was not judged. MR is not judged." in check.statements[1].message
    with pytest.raises(NotSupportedError, match="MR is not judged"):
        check_report(TEXT, figures[1:])
    with pytest.raises(InputError, match="none was given"):
        check_report(TEXT, [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("See Fig. 2.", ((1,), ())),
        ("Figures 1 and 3 show it.", ((0, 2), ())),
        ("如图2所示", ((1,), ())),
        ("附图1、3", ((0, 2), ())),
        ("图42层", ((), ())),
        ("图2-4层", ((), ())),
        ("Figs. 1-3", ((0, 1, 2), ())),
        ("图1至2，图3", ((0, 1, 2), ())),
        ("figures 1, 2-3 & 5", ((0, 1, 2), ("Figure 5",))),
        ("Figure 2012", ((), ())),
        ("configured 2 ways", ((), ())),
        ("Knee lateral: normal.", ((3,), ())),
        ("Knee laterally", ((), ())),
        ("figure 12", ((), ("Figure 12",))),
        ("figures 2, 5 and 7", ((1,), ("Figure 5", "Figure 7"))),
    ],
)
def test_names_of_figures(text: str, expected: tuple[tuple[int, ...], tuple[str, ...]]) -> None:
    figures = [*_figures(0, 0, 0), Figure("knee lateral", _volume(0))]
    assert named_figures(text, figures) == expected


def test_loading_names_and_series(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Image.fromarray(np.zeros((8, 9), np.uint8)).save(tmp_path / f"{name}.png")
    made = load_figures([tmp_path / "a.png", f"Knee={tmp_path / 'b.png'}"])
    assert [figure.name for figure in made] == ["Figure 1", "Knee"]
    with pytest.raises(InputError, match="Two figures are called 'Knee'"):
        load_figures([f"Knee={tmp_path / 'a.png'}", f"knee={tmp_path / 'b.png'}"])
    with pytest.raises(InputError, match="No image was named"):
        load_figures([])


def test_every_series_of_a_study_is_a_figure(tmp_path: Path) -> None:
    for value, name in ((10, "lung"), (20, "soft tissue")):
        write_dicom(_volume(value), tmp_path / name, series_description=name)
    made = load_figures([f"CT={tmp_path}", tmp_path / "lung"])
    assert [figure.name for figure in made] == ["CT 1", "CT 2", "Figure 3"]
    seen = {figure.title.partition("(CT, ")[2]: int(figure.volume.array[0, 0, 0]) for figure in made}
    assert seen == {"lung)": 10, "soft tissue)": 20}


def test_json_and_page(counted: None, tmp_path: Path) -> None:
    check = check_report(TEXT, _figures(1, 2))
    wire = json.loads(json.dumps(report_check_to_wire(check)))
    assert list(wire)[1] == "summary" and wire["counts"] == {"yes": 0, "no": 2, "maybe": 1}
    assert [len(one["verdicts"]) for one in wire["statements"]] == [2, 1, 2]
    assert wire["statements"][1]["verdicts"][0]["figure"] == "Figure 2"
    write_report_page(tmp_path / "check.html", check)
    page = (tmp_path / "check.html").read_text(encoding="utf-8")
    assert "<script" not in page and "http://" not in page and "https://" not in page
    assert page.index("does not agree with Figure 2") < page.index("Statements")
    assert page.count("<img ") == 5  # two figures for two statements, one for the one that names it


def test_where_a_score_comes_from_is_laid_over_the_slice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    heat = np.zeros((4, 4), np.float32)
    heat[1, 2] = 1

    def verify(volume: Volume, text: str, **options: object) -> tuple[Verdict, ...]:
        (finding,) = read(text).findings
        looked = Evidence("looked", finding.sentence, slices=(2, 2), heat=heat)
        return (Verdict(finding.sentence, "yes", 0.8, "it fits", "supported", finding, (looked,)),)

    monkeypatch.setattr(radfind, "verify", verify)
    write_report_page(tmp_path / "check.html", check_report("Nodule in the right lung.", _figures(1)))
    page = (tmp_path / "check.html").read_text(encoding="utf-8")
    assert page.count('class="mask heat" href="data:image/png;base64,') == 1
    assert "Figure 1, slice 2 · warm: \u201cNodule in the right lung" in page


def test_a_cancelled_check_stops(counted: None) -> None:
    context = Context()
    context.cancel()
    with pytest.raises(CancelledError):
        check_report(TEXT, _figures(1), context=context)
