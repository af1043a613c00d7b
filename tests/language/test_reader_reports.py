"""The reader against hand labels of real reports; the matching rule is in report_scores.py.

"dev", "held_out", "blind", "blind2" and "blind3" served the development of the reader. The "kept_aside" reports serve
no rule: their texts, labels and errors are never opened for one, and theirs is the figure to quote.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import report_scores

CASES = [
    (name, what, measure)
    for name in report_scores.SETS
    for what in ("presence", "side", "size")
    for measure in ("precision", "recall")
]


@pytest.mark.parametrize(("name", "what", "measure"), CASES)
def test_at_least_nine_in_ten(shared_data: Callable[[str], Path], name: str, what: str, measure: str) -> None:
    """Issue 2: presence, side and size, each at least 0.9 on reports kept aside."""
    folder = shared_data("reports")
    if not (report_scores.LABELS / report_scores.SETS[name][0]).exists():
        pytest.skip("no labels of this set")
    score = report_scores.score(folder, name)[what]
    print(f"{name} {what}: {score}")
    # A plain number: a failing assert must not print what it failed on, or the reports kept aside would be read.
    value: float = getattr(score, measure)
    assert value >= 0.9
