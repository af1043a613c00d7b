"""Which attributes, numbers of lesions and image references belong to which finding of a sentence."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from radfind.language.attributes import Attribute, Count
from radfind.language.claims import Claim, following, host
from radfind.language.findings import ImageReference

_ATTRIBUTE_BREAK = re.compile(
    r"[;:()]|\b(?:is|are|was|were|in|on|with|at|from|to|which|margins?|borders?|contours?|edges?)\b"
    r"|见|示|伴|,(?=.*[\u4e00-\u9fff])"
)

_LAYERS = frozenset({"pleural_effusion", "pneumothorax"})
"""Of these "small" says how much, as "少量" does; of anything else it says nothing that is compared."""


def attach_attributes(folded: str, claims: Sequence[Claim], attributes: Sequence[Attribute]) -> list[Attribute]:
    """Gives describing words to their findings; returns those that found none."""
    left: list[Attribute] = []
    for attribute in attributes:
        if attribute.name == "small":
            layer = following(folded, claims, attribute.stop, _ATTRIBUTE_BREAK)
            if layer is None or layer.concept.id not in _LAYERS:
                continue
            attribute = dataclasses.replace(attribute, name="mild")
        claim = next(
            (c for c in claims if c.start <= attribute.start and attribute.stop <= c.stop and not c.describes), None
        )
        if claim is None:
            claim = following(folded, claims, attribute.stop, _ATTRIBUTE_BREAK)
            earlier = host(claims, attribute.start - 1)
            if claim is not None and earlier is not None and "," in folded[attribute.stop : claim.start]:
                claim = earlier
            if claim is not None and claim.describes and earlier is not None and not earlier.describes:
                claim = earlier if folded[attribute.start : attribute.stop].startswith(("with", "contain")) else claim
            if claim is not None and claim.concept.id == attribute.name and earlier is not None:
                earlier.attributes.append(attribute.name)  # a nodule with a pleural tag
        claim = claim or host(claims, attribute.start) or next((c for c in claims if c.start >= attribute.stop), None)
        if claim is None:
            left.append(attribute)
        elif attribute.name not in claim.attributes:
            claim.attributes.append(attribute.name)
    return left


_COUNT_BREAK = re.compile(
    r"[;:()]|\b(?:is|are|was|were|in|on|at|with|which)\b|,\s(?=[a-z]+\s[a-z]+\s[a-z]+)|,(?=.*[\u4e00-\u9fff])|伴"
)


def attach_counts(folded: str, claims: Sequence[Claim], counts: Sequence[Count]) -> None:
    """Gives numbers of lesions to their findings."""
    for count in counts:
        claim = following(folded, claims, count.stop, _COUNT_BREAK)
        if claim is None or len(folded[count.stop : claim.start]) > 60:
            behind = [c for c in claims if c.stop <= count.start]
            near = behind[-1] if behind else None
            claim = near if near and re.fullmatch(r"[\s,影灶共约]{0,3}", folded[near.stop : count.start]) else claim
        if claim is None:
            continue
        if count.number is None:
            claim.multiple = True
        else:
            claim.count = count.number if claim.count is None else claim.count
            claim.multiple = claim.multiple or count.number > 1


def attach_references(
    folded: str, claims: Sequence[Claim], references: Sequence[ImageReference]
) -> list[ImageReference]:
    """Gives series / image references to their findings; returns those that found none."""
    left = []
    for reference in references:
        assert reference.span is not None
        later = next((c for c in claims if c.start >= reference.span.stop), None)
        claim = host(claims, reference.span.start) or later
        if later is not None and claim is not None and ";" not in folded[reference.span.stop : later.start]:
            # "image 58, a nodule on the right; image 102, a nodule on the left"
            claim = later if ";" in folded[claim.stop : reference.span.start] else claim
        if claim is None:
            left.append(reference)
        else:
            claim.references.append(reference)
    return left
