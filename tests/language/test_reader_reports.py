"""The reader against hand labels of 60 real reports; the matching rule is in report_scores.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import report_scores


@pytest.mark.parametrize("half", ["dev", "held_out"])
def test_presence_side_and_size(shared_data: Callable[[str], Path], half: str) -> None:
    """Issue 2: each at least 0.9 on the half set aside; the other half is where rules were developed."""
    scores = report_scores.score(shared_data("reports"), half)
    for name, score in scores.items():
        print(f"{half} {name}: {score}")
    for name, score in scores.items():
        if (half, name) == ("dev", "size"):
            continue  # too few sizes here (18) for a bound to mean much; printed above
        # plain numbers: a failing assert must not print what it failed on, or the half set aside would be read
        precision, recall = score.precision, score.recall
        assert precision >= 0.9, name
        assert recall >= 0.9, name
