"""The reader on sentences made up for the tests, labelled before it was run on them (labels/constructed_*.json)."""

from __future__ import annotations

import constructed_scores
import pytest


@pytest.mark.parametrize("name", constructed_scores.SETS)
@pytest.mark.parametrize("what", constructed_scores.WHAT)
def test_made_up_sentences_are_read_as_labelled(name: str, what: str) -> None:
    score = constructed_scores.score(name)[what]
    if not score.hits and not score.errors:
        pytest.skip("none in these sentences")
    assert min(score.precision, score.recall) >= 0.95, score.errors
