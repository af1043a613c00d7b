"""The several lesions that one mention stands for, each with its own place and size."""

from __future__ import annotations

import itertools
import re

from radfind.language.attach import Claim, sided
from radfind.language.places import PlaceWord
from radfind.language.sizes import Size

_LISTED = re.compile(r"\s*(?:in (?:diameter|size)\s?)?(?:,|、|/)?\s*(?:and|及|和|与)?\s*(?:approximately |about |约)?")
_LARGEST = re.compile(
    r"largest|larger|biggest|smallest|smaller|maxim|greatest|longest|up to|short|最大|较大|大者|最小|分别"
)


def lesions(claim: Claim, folded: str) -> list[tuple[list[PlaceWord], list[Size]]]:
    """The lesions that one mention stands for, as (place words, sizes): "nodules, 8 mm in A and 7 mm in B" are two.

    A mention is split only where each exact size has a place of its own, or where as many sizes are given as lesions
    are counted ("two nodules of 5 and 8 mm").
    """
    whole = [(claim.words, claim.sizes)]
    start = claim.start if claim.anchor is None else claim.anchor
    exact = sorted((size for size in claim.sizes if size.mm), key=lambda size: size.start)
    if len(exact) > 1 and exact[-1].stop <= start and claim.presence != "absent":
        # "in the right lobe 5 mm and in the left lobe 7 mm nodules"
        edges = [0, *(size.stop for size in exact)]
        fronted = [[w for w in claim.words if a <= w.start < size.start] for a, size in zip(edges, exact, strict=False)]
        return [(group, [size]) for group, size in zip(fronted, exact, strict=True)] if all(fronted) else whole
    close = start - 60  # "4.5 cm thick effusion on the right and 4 cm on the left"
    behind = [size for size in exact if size.start >= close]
    if claim.presence == "absent" or len(behind) < 2 or len(behind) != len(exact):
        return whole
    between = folded[start : behind[-1].start]
    shared = [word for word in claim.words if word.start < start]
    later = [word for word in claim.words if word.start >= start]
    # one list only when nothing but the first size stands before the name
    if any(size.start < start for size in behind[1:]):
        return whole
    first_size, last_size = behind[0], behind[-1]
    if later and any(first_size.stop <= word.start < last_size.start for word in later):
        size_first = not any(start <= word.start < first_size.start for word in later)
        groups = []
        for index, size in enumerate(behind):
            if size_first:
                low, high = size.start, behind[index + 1].start if index + 1 < len(behind) else 10**9
            else:
                low, high = (behind[index - 1].start if index else start), size.start
            groups.append([word for word in later if low <= word.start < high])
        for index in range(len(groups) - 2, -1, -1) if size_first else ():
            groups[index] = groups[index] or groups[index + 1]  # "10 mm and 6.7 mm in the left upper lobe"
        if all(groups):
            return [
                ([*([] if sided(group) else shared), *group], [size])
                for group, size in zip(groups, behind, strict=True)
            ]
    listed = claim.multiple and all(
        _LISTED.fullmatch(folded[one.stop : other.start]) for one, other in itertools.pairwise(behind)
    )
    if (listed or claim.count == len(behind)) and (not _LARGEST.search(between) or "分别" in between):
        return [(claim.words, [size]) for size in behind]
    return whole
