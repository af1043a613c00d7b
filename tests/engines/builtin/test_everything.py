"""With no prompt: structures that do not overlap, findings on top, and what was not found."""

from __future__ import annotations

import numpy as np
import pytest

import radfind
from radfind.errors import PromptError
from radfind.phantom import LesionSpec, make_phantom
from radfind.prompts import EverythingPrompt


def test_everything_on_a_phantom() -> None:
    phantom = make_phantom(seed=31, lesions=(LesionSpec("solid_nodule", "right", "upper", 18.0),), shape=(80, 160, 160))
    found = radfind.segment(phantom.volume, EverythingPrompt(), engine="builtin")
    structures = [s for s in found.segments if s.concept is not None and s.concept.kind == "anatomy"]
    names = {s.name for s in found.segments}
    assert {"right lung", "left lung"} <= names
    assert np.max(np.sum([s.mask for s in structures], axis=0)) == 1
    truth = phantom.truth["lesion_1"]
    lesions = [s for s in found.segments if s.concept is not None and s.concept.kind == "finding"]
    assert max(2 * (s.mask & truth).sum() / (s.mask.sum() + truth.sum()) for s in lesions) >= 0.7
    assert any("pneumothorax" in text.lower() for text in found.not_found)
    assert len({s.name for s in found.segments}) == len(found.segments)


def test_no_prompt_at_all_is_refused() -> None:
    phantom = make_phantom(seed=32, lesions=(), shape=(20, 40, 40))
    with pytest.raises(PromptError, match="no prompt"):
        radfind.segment(phantom.volume, [], engine="builtin")
