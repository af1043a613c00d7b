"""Wording and language change nothing: every synonym of a concept asks the engine the same question.

The question is all that matching, answering and verifying take from a finding; what is found and how it is ranked
follows from it and the voxels alone, which `test_engine.py` shows on whole runs.
"""

from __future__ import annotations

import re

import pytest

from radfind.engines.builtin.vocabulary import calcified_asked, density_asked, family_of, known_concepts
from radfind.engines.builtin.whereabouts import LOBES, without_side
from radfind.language.concepts import Concept
from radfind.language.findings import Finding
from radfind.language.lexicon import default_lexicon
from radfind.language.reader import read

LEXICON = default_lexicon()
KNOWN = [LEXICON.get(name) for name in sorted(known_concepts(LEXICON))]
FINDINGS = [concept for concept in KNOWN if concept.kind == "finding"]
LUNG_LOBES = [LEXICON.get(name) for name in sorted(LOBES)]

SAYS_MORE = re.compile(
    # a size, several, both sides, one only; a place, a second component: more than the concept's own name says
    r"micro|millimet|miliary|微小|粟粒|bulles|calcifications|pneumothoraces|双|两|左右|solitary|孤立"
    r"|subpleural|胸膜下|\bcentral\b|cystic|囊实"
)
DISTANT = {"distal acinar emphysema"}  # behind a size, "distal" reads as a distance
REPEATS = {"左肺上叶舌叶"}  # names the upper lobe and the lingula, and both are read


def question(finding: Finding) -> tuple[object, ...]:
    """All that the engine takes from a finding, and nothing of its wording."""
    place = without_side(finding.place)
    sites = {site.id for site in place.sites} - {"lung", "pleura"}
    family = family_of(finding, LEXICON)
    return (
        finding.concept.id,
        family,
        finding.presence,
        finding.place.side,
        frozenset(place.lobes),
        frozenset(place.zones),
        frozenset(place.segments),
        frozenset(sites),
        finding.sizes_mm,
        finding.size_range_mm,
        finding.count,
        finding.multiple,
        density_asked(finding) if family == "nodule" else None,
        calcified_asked(finding) if family == "nodule" else None,
    )


def chinese(term: str) -> bool:
    return any("\u3400" <= letter <= "\u9fff" for letter in term)


def wordings(concept: Concept) -> list[str]:
    return [t for t in (concept.english, concept.chinese, *concept.terms) if not SAYS_MORE.search(t)]


def questions(text: str) -> list[tuple[object, ...]]:
    return [question(finding) for finding in read(text).findings]


@pytest.mark.parametrize("concept", FINDINGS, ids=lambda concept: concept.id)
def test_every_wording_of_a_finding_asks_the_same(concept: Concept) -> None:
    templates = {
        "alone": ("{}", "{}"),
        "placed": ("A {} in the left upper lobe", "左肺上叶见{}"),
        "denied": ("No {}.", "未见{}。"),
    }
    if family_of(read(concept.english).findings[0], LEXICON) == "nodule":
        templates["measured"] = ("A 12 mm {} in the left upper lobe", "左肺上叶见{}，大小约12mm")
    for name, (english, other) in templates.items():
        expected = questions(english.format(concept.english))
        assert len(expected) == 1
        for term in wordings(concept):
            if name == "measured" and term in DISTANT:
                continue
            text = (other if chinese(term) else english).format(term)
            assert questions(text) == expected, text


@pytest.mark.parametrize("lobe", LUNG_LOBES, ids=lambda concept: concept.id)
def test_every_wording_of_a_lobe_asks_the_same(lobe: Concept) -> None:
    expected = questions(f"solid nodule in the {lobe.english}")
    assert len(expected) == 1
    for term in set(wordings(lobe)) - REPEATS:
        text = f"{term}实性结节" if chinese(term) else f"solid nodule in the {term}"
        assert questions(text) == expected, text


@pytest.mark.parametrize(
    ("english", "other"),
    [
        ("Solid nodule in the left upper lobe, 1.2 cm.", "左肺上叶实性结节，约12mm。"),
        ("Ground-glass nodule in the apex of the right lung.", "右肺尖磨玻璃结节。"),
        ("Two nodules in the right lower lobe.", "右肺下叶见两枚结节。"),
        ("Calcified nodule in the lingula.", "舌段钙化结节。"),
        ("Right pleural effusion.", "右侧胸腔积液。"),
        ("Nodule in S6 of the right lower lobe.", "右肺下叶S6结节。"),
        ("Possible left pneumothorax.", "左侧气胸可能。"),
        ("Bilateral emphysema.", "双肺肺气肿。"),
        ("Subpleural nodule in the left lower lobe, 6 mm.", "左肺下叶胸膜下结节，直径6mm。"),
    ],
)
def test_language_changes_no_question(english: str, other: str) -> None:
    assert questions(english) == questions(other)
    assert len(questions(english)) == 1
