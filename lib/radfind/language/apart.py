"""The several lesions that one mention stands for, each with its own place and size."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from radfind.language.claims import Claim, order, sided
from radfind.language.place_words import PlaceWord
from radfind.language.sizes import Size

_LISTED = re.compile(
    r"-?\s*(?:in (?:diameter|size)\s?)?(?:,|、|/)?\s*(?:and|及|和|与)?\s*(?:approximately |about |约)?"
)
_PARTED = re.compile(r",|;|、|\band\b|及|和|与")
_BRACKETS = re.compile(r"\([^)]*\)")
_LARGEST = re.compile(
    r"largest|larger|biggest|smallest|smaller|maxim|greatest|longest|up to|short|最大|较大|大者|最小|分别"
)

_EACH = re.compile(r",?\s?respectively")


def _paired(claim: Claim, folded: str) -> list[tuple[list[PlaceWord], list[Size]]]:
    """ "3 and 6 mm nodules in the right upper and left lower lobes": a list of sizes beside a list of as many places.

    Empty where the two lists are not of one length, or where either is no plain list.
    """
    exact = sorted((size for size in claim.sizes if size.mm), key=lambda size: size.start)
    if len(exact) < 2 or len(exact) != len(claim.sizes) or claim.presence == "absent":
        return []
    if not all(_LISTED.fullmatch(folded[one.stop : two.start]) for one, two in itertools.pairwise(exact)):
        return []
    groups = _groups([word for word in claim.words if word.kind in ("side", "lobe")], folded)
    if len(groups) != len(exact) or any(exact[0].stop <= word.start < exact[-1].start for word in claim.words):
        return []
    return [([*group, *_organs(claim.words)], [size]) for group, size in zip(groups, exact, strict=True)]


_LONG_LIST = 3  # sizes of a plural finding that are a list, even where its places cannot be paired with them


def _one_by_one(claim: Claim, sizes: Sequence[Size], folded: str) -> list[tuple[list[PlaceWord], list[Size]]]:
    """Each size with the place words before it, the first without any with those behind it up to the next comma;
    any other size without a place is where the one before it was."""
    words = sorted({*claim.before, *claim.words}, key=order)
    parts: list[tuple[list[PlaceWord], list[Size]]] = []
    begin = 0
    for size in sizes:
        group, begin = [word for word in words if begin <= word.start < size.start], size.stop
        if not group and not parts:
            begin = max(size.stop, folded.find(",", size.stop))
            group = [word for word in words if size.stop <= word.start < begin]
        last = parts[-1][0] if parts else []
        if not sided(group):
            group = [*(word for word in last if word.kind == "side" or not group), *group]
        parts.append((group, [size]))
    return parts


def _organs(words: Sequence[PlaceWord]) -> list[PlaceWord]:
    """The organs named, as far as they tell no side."""
    return [word for word in words if word.concept is not None and not word.concept.id.startswith(("left_", "right_"))]


def _of_either_side(shared: Sequence[PlaceWord], group: Sequence[PlaceWord]) -> list[PlaceWord]:
    """What is told of all and holds on either side: "upper lobe nodules, 6 mm on the right and 4 mm on the left"."""
    lobed = any(word.kind == "lobe" for word in group)
    lobes = [word for word in shared if word.kind == "lobe" and word.side is None and not lobed]
    return sorted({*lobes, *_organs(shared)}, key=order)


def _groups(words: Sequence[PlaceWord], folded: str) -> list[list[PlaceWord]]:
    """Side and lobe words, one group for each place of a list; a place without a side has that of the one before."""
    groups: list[list[PlaceWord]] = []
    for word in words:
        last = groups[-1][-1] if groups else None
        gap = folded[last.stop : word.start] if last else ""
        if last is None or (
            (word.kind == "side" or last.kind == "lobe") and re.search(r",|、|及|和|与|/|&|\band\b", gap)
        ):
            if word.kind == "lobe" and word.side is None and groups:
                groups.append([*(side for side in groups[-1] if side.kind == "side"), word])
            else:
                groups.append([word])
        else:
            groups[-1].append(word)
    return groups


def lesions(claim: Claim, folded: str) -> list[tuple[list[PlaceWord], list[Size]]]:
    """The lesions that one mention stands for, as (place words, sizes): "nodules, 8 mm in A and 7 mm in B" are two.

    A mention is split where each exact size has a place of its own, where as many sizes are given as lesions are
    counted ("two nodules of 5 and 8 mm"), and where a plural has a long list of sizes.
    """
    parts = _split(claim, folded)
    exact = sorted((size for size in claim.sizes if size.mm), key=lambda size: size.start)
    if len(parts) == 1 and claim.multiple and claim.presence != "absent" and len(exact) >= _LONG_LIST:
        return _one_by_one(claim, exact, folded)
    return parts


def _split(claim: Claim, folded: str) -> list[tuple[list[PlaceWord], list[Size]]]:
    whole = [(claim.words, claim.sizes)]
    if paired := _paired(claim, folded):
        return paired
    start = claim.start if claim.anchor is None else claim.anchor
    exact = sorted((size for size in claim.sizes if size.mm), key=lambda size: size.start)
    if len(exact) > 1 and exact[-1].stop <= start and claim.presence != "absent":
        # "in the right lobe 5 mm and in the left lobe 7 mm nodules"
        edges = [0, *(size.stop for size in exact)]
        fronted = [
            [w for w in claim.before if a <= w.start < size.start] for a, size in zip(edges, exact, strict=False)
        ]
        return [(group, [size]) for group, size in zip(fronted, exact, strict=True)] if all(fronted) else whole
    close = start - 60  # "4.5 cm thick effusion on the right and 4 cm on the left"
    behind = [size for size in exact if size.start >= close]
    if claim.presence == "absent" or len(behind) < 2 or len(behind) != len(exact):
        return whole
    between = folded[start : behind[-1].start]
    inside = start if claim.anchor is not None else claim.stop  # "双肾囊肿": the words of the name are told of all
    shared = [word for word in claim.words if word.start < inside]
    later = [word for word in claim.words if word.start >= inside]
    # one list only when nothing but the first size stands before the name
    if any(size.start < start for size in behind[1:]):
        return whole
    first_size, last_size = behind[0], behind[-1]
    if later and any(first_size.stop <= word.start < last_size.start for word in later):
        following = next(word for word in later if word.start >= first_size.stop)
        size_first = not _PARTED.search(_BRACKETS.sub("", folded[first_size.stop : following.start]))
        if size_first:
            shared += [word for word in later if word.start < first_size.start]
            later = [word for word in later if word.start >= first_size.start]
        groups = []
        for index, size in enumerate(behind):
            if size_first:
                low, high = size.start, behind[index + 1].start if index + 1 < len(behind) else 10**9
            else:
                low, high = (behind[index - 1].start if index else start), size.start
            groups.append([word for word in later if low <= word.start < high])
        if len(sides := {word.value for word in groups[-1] if word.kind == "side"}) > 1 and "both" in sides:
            # "3 cm on the right and 2 cm on the left is seen in both hemithoraxes": the last words are told of both
            shared += [word for word in groups[-1] if word.kind == "anatomy"]
            groups[-1] = [word for word in groups[-1] if word.value != "both" and word.kind != "anatomy"]
        for index in range(len(groups) - 2, -1, -1) if size_first else ():
            groups[index] = groups[index] or groups[index + 1]  # "10 mm and 6.7 mm in the left upper lobe"
        if all(groups):
            organ = _organs(groups[0])[:1]  # "3 cm in the liver, segment 8, and 2 cm in segment 4"
            groups[1:] = [g if any(w.kind in ("anatomy", "lobe") for w in g) else [*organ, *g] for g in groups[1:]]
            for before, group in itertools.pairwise(groups):
                if not sided(group) and not _organs(group):  # "in the left lingula and 4 mm in the lower lobe"
                    group[:0] = [word for word in before if word.kind == "side"]
            return [
                ([*(_of_either_side(shared, group) if sided(group) else shared), *group], [size])
                for group, size in zip(groups, behind, strict=True)
            ]
    listed = (claim.multiple or "分别" in between or _EACH.match(folded, behind[-1].stop)) and all(
        _LISTED.fullmatch(folded[one.stop : other.start]) for one, other in itertools.pairwise(behind)
    )
    if (listed or claim.count == len(behind)) and (not _LARGEST.search(between) or "分别" in between):
        return [(claim.words, [size]) for size in behind]
    return whole
