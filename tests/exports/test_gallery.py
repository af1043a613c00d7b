"""The page is parsed back: what it says, what it links to, and that nothing in it can run or call out."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from export_sample import TEXT, sample
from PIL import Image

from radfind.exports import gallery
from radfind.exports.gallery import write_gallery
from radfind.language.concepts import Concept
from radfind.language.findings import Finding, Place, Presence, Span
from radfind.results import Answer, Evidence, RankedSlice, Ranking, Verdict
from radfind.volume import Geometry, Volume


class Page(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.report = ""
        self._in_report = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "p" and dict(attrs).get("class") == "text":
            self._in_report = True

    def handle_endtag(self, tag: str) -> None:
        if tag == "p":
            self._in_report = False

    def handle_data(self, data: str) -> None:
        if self._in_report:
            self.report += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    s = sample()
    write_gallery(path, s.phantom.volume, s.text, s.verdicts, ranking=s.ranking, segmentation=s.segmentation)
    return path.read_text(encoding="utf-8")


def test_report_text_is_whole_and_linked_to_its_statements(html: str) -> None:
    page = Page(html)
    assert page.report == TEXT
    links = [a["href"] for a in page.all("a")]
    ids = {f"#{a['id']}" for a in page.all("article")}
    assert set(links) == ids == {"#finding-1", "#finding-2", "#finding-3"}
    classes = {a["href"]: str(a["class"]).split()[0] for a in page.all("a")}
    assert classes == {"#finding-1": "no", "#finding-2": "yes", "#finding-3": "maybe"}


def test_page_is_self_contained_and_runs_nothing(html: str) -> None:
    page = Page(html)
    assert not page.all("script") and not page.all("link") and not page.all("iframe")
    assert not re.search(r"https?://|url\(|@import", html)
    policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and "default-src 'none'" in policy and "script" not in policy
    for _, attrs in page.tags:
        assert not any(name.startswith("on") for name in attrs)
        assert str(attrs.get("src", "data:")).startswith("data:")


def test_images_decode_and_are_described(html: str) -> None:
    images = Page(html).all("img")
    assert len(images) >= 8
    for attrs in images:
        assert attrs["alt"]
        data = base64.b64decode(str(attrs["src"]).split(",", 1)[1])
        image = Image.open(io.BytesIO(data))
        assert image.size == (int(str(attrs["width"])), int(str(attrs["height"])))


def test_reported_beside_measured(html: str) -> None:
    measured = sample().phantom.lesions[0].diameter_mm
    assert re.search(rf"14 × 11</td><td[^>]*>{measured[0]:.1f} × {measured[1]:.1f}<", html)
    assert "Research software, not a medical device" in html
    assert "93%" in html and "The apex is not covered." in html


def test_masks_can_be_switched_off_without_script(html: str) -> None:
    page = Page(html)
    assert [a for a in page.all("input") if a.get("type") == "checkbox" and a.get("id") == "masks"]
    assert ".toggle:not(:checked) ~ main .mask" in html
    assert len([a for a in page.all("g") if a.get("class") == "mask"]) >= 8


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    s = sample()
    evil = '<script>alert(1)</script><img src=x onerror=alert(2)>" onmouseover="alert(3)'
    volume = dataclasses.replace(s.phantom.volume, header={"PatientName": evil, "StudyDescription": "</style>" + evil})
    verdict = Verdict(Span(0, len(evil), evil), "maybe", 0.5, evil, "vague", engine=evil)
    path = tmp_path / "evil.html"
    write_gallery(path, volume, evil, [verdict])
    page = Page(path.read_text(encoding="utf-8"))
    assert not page.all("script") and not page.all("img")
    assert page.report == evil
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)


def test_flipped_scan_looks_the_same(tmp_path: Path) -> None:
    """The patient's left-sided fluid is on the image's right whichever way the voxels run."""
    shown = []
    for axes in ("LPS", "RAS"):
        s = sample(axes=axes)
        path = tmp_path / f"{axes}.html"
        write_gallery(path, s.phantom.volume, s.text, s.verdicts, segmentation=s.segmentation)
        page = path.read_text(encoding="utf-8")
        article = page[page.index('id="finding-2"') :]
        path_data = re.search(r'class="line" d="([^"]+)"', article)
        assert path_data is not None
        xy = np.array(re.findall(r"(-?[\d.]+) (-?[\d.]+)", path_data[1]), float)
        assert xy[:, 0].mean() > 220 and xy[:, 1].mean() > 170  # right half, back half of the 440-pixel picture
        shown.append(xy.mean(axis=0))
    assert np.allclose(*shown, atol=4)


def test_pages_without_findings_or_images(tmp_path: Path) -> None:
    s = sample()
    path = tmp_path / "empty.html"
    write_gallery(path, s.phantom.volume, "nothing known here", [])
    page = Page(path.read_text(encoding="utf-8"))
    assert page.report == "nothing known here" and not page.all("article")


def test_two_findings_of_one_sentence_keep_their_own_colours(tmp_path: Path) -> None:
    s = sample()
    text = "Nodule and effusion."
    whole = Span(0, len(text), text)
    pair = []
    for words, answer, verdict in (("Nodule", "yes", s.verdicts[0]), ("effusion", "no", s.verdicts[1])):
        assert verdict.finding is not None
        start = text.index(words)
        finding = dataclasses.replace(verdict.finding, span=Span(start, start + len(words), words), sentence=whole)
        pair.append(Verdict(whole, answer, 0.9, "", "supported", finding))  # type: ignore[arg-type]
    path = tmp_path / "pair.html"
    write_gallery(path, s.phantom.volume, text, pair)
    html = path.read_text(encoding="utf-8")
    runs = re.findall(r'<a class="(\w+)(?: strong)?" href="#finding-(\d)">([^<]+)</a>', html)
    assert runs == [("yes", "1", "Nodule"), ("no", "2", " and "), ("no", "2", "effusion"), ("no", "2", ".")]


def test_dicom_names_and_dates_are_made_readable(tmp_path: Path) -> None:
    s = sample()
    volume = dataclasses.replace(s.phantom.volume, header={"PatientName": "Doe^Jane", "StudyDate": "20240309"})
    path = tmp_path / "names.html"
    write_gallery(path, volume, s.text, ())
    html = path.read_text(encoding="utf-8")
    assert "Doe Jane" in html and "2024-03-09" in html


def test_a_heat_map_is_laid_over_its_slice_with_the_words_it_belongs_to(tmp_path: Path) -> None:
    """A vision model's verdict has no mask; the slice it looked at is shown all the same."""
    s = sample()
    words = Span(0, 6, s.text[:6])
    heat = np.zeros((4, 4), np.float32)
    heat[1, 2] = 1
    looked = Evidence("looked", words, slices=(2, 2), values={"score": 0.8}, heat=heat)
    path = tmp_path / "heat.html"
    write_gallery(
        path, s.phantom.volume, s.text, [Verdict(words, "yes", 0.8, "as asked", "supported", None, (looked,))]
    )
    html = path.read_text(encoding="utf-8")
    (image,) = re.findall(r'<image class="mask heat" href="data:image/png;base64,([^"]+)"', html)
    assert Image.open(io.BytesIO(base64.b64decode(image))).mode == "RGBA"
    assert f"slice 2, warm where the score for &#39;{words.text.strip()}&#39; comes from" in html


def test_a_contradicted_statement_shows_what_was_found_not_what_was_ranked_elsewhere() -> None:
    """Ranked for the words on slice 2, but the verdict rests on slices 5 to 7: those are shown."""
    mask = np.zeros((10, 4, 4), bool)
    mask[5:8] = True
    words = Span(0, 6, "nodule")
    verdict = Verdict(words, "no", 0.9, "elsewhere", "wrong_size")
    ranking = Ranking((RankedSlice(1, 2, 0.4, evidence=(Evidence("speck", words),)),), np.zeros(10))
    assert {item.index for item in gallery._slices(verdict, mask, None, ranking)} <= {5, 6, 7}
    assert [item.index for item in gallery._slices(verdict, None, None, ranking)] == [2]


@pytest.mark.parametrize(
    ("presence", "answer", "code", "found", "seen"),
    [
        ("present", "yes", "supported", True, "found"),
        ("present", "no", "wrong_side", True, "found"),
        ("absent", "no", "found_though_denied", True, "found"),
        ("uncertain", "maybe", "hedged", True, "found"),
        ("present", "maybe", "not_found", True, "unclear"),
        ("present", "no", "not_found", False, "not found"),
        ("absent", "yes", "supported", False, "not found"),
        ("present", "yes", "supported", False, ""),  # of a model that points at nothing
        ("absent", "maybe", "not_covered", False, ""),
    ],
)
def test_what_the_scan_shows_stands_beside_what_the_report_says(
    presence: Presence, answer: Answer, code: str, found: bool, seen: str
) -> None:
    words = Span(0, 6, "nodule")
    finding = Finding(Concept("nodule", "finding", "nodule", "结节"), presence, Place(side="left"), words, words)
    evidence = (Evidence("", mask=np.ones((2, 2, 2), bool), place="right upper lobe"),) if found else ()
    verdict = Verdict(words, answer, 0.9, "", code, finding=finding, evidence=evidence)
    rows = {what.split()[0]: measured for what, _, measured in gallery._compare(finding, verdict)}
    assert rows["Presence"].partition(" ")[0] == seen.partition(" ")[0]
    assert rows["Place"] == ("right upper lobe" if found else "")


def test_one_engine_chosen_for_several_tasks_is_named_once(tmp_path: Path) -> None:
    volume = Volume(np.zeros((4, 8, 8), np.int16), Geometry.from_parts((4, 8, 8)), modality="CT")
    words = Span(0, 6, "nodule")
    verdict = Verdict(words, "maybe", 0.5, "", "vague", engine="builtin (chosen by auto: the first that can verify)")
    ranking = Ranking((), np.zeros(4), engine="builtin (chosen by auto: the first that can rank)")
    write_gallery(tmp_path / "page.html", volume, "nodule", (verdict,), ranking=ranking)
    page = (tmp_path / "page.html").read_text("utf-8")
    assert page.count("<dt>Engine</dt>") == 1 and "builtin (chosen by auto)" in page
