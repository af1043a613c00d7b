"""The reader on sentences made up for the tests, labelled before it was run on them (labels/constructed_*.json)."""

from __future__ import annotations

import constructed_scores
import pytest

CASES = [
    (name, what)
    for name in constructed_scores.SETS
    for what in constructed_scores.WHAT
    if what != "reference" or " @" in (constructed_scores.LABELS / f"constructed_{name}.json").read_text("utf-8")
]


@pytest.mark.parametrize(("name", "what"), CASES)
def test_made_up_sentences_are_read_as_labelled(name: str, what: str) -> None:
    score = constructed_scores.score(name)[what]
    assert min(score.precision, score.recall) >= 0.95, score.errors
