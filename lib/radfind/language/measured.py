"""Which finding a size belongs to: the one it stands beside, the head of its phrase, or an organ's width."""

from __future__ import annotations

import re
from collections.abc import Sequence

from radfind.language.claims import Claim, following, host
from radfind.language.sizes import Size
from radfind.language.text import Piece

_SIZE_BREAK = re.compile(
    r"[,;:()]|\s-\s|\b(?:is|are|was|were|in the|in both|in right|in left|on|and|with|without|no|but|at|from"
    r"|(?<!-)to(?!-)|which|measuring)\b|见|示|伴|无|未"
)
_MEASURED_ORGAN = re.compile(r"(?:'s)?\s?(?:[a-z-]+ ){0,2}(?:length|size|measures|is|was)|(?:长)")
_ORGAN_WIDTH = re.compile(r"(?:'s)?\s?(?:[a-z-]+ ){0,2}(?:diameter|calib[a-z]+|width)|(?:直径|宽|内径|管径)")
_GROWN_ORGAN = re.compile(r"[^,。;]{0,6},\s?(?:管腔|最)?(?:直径|宽|内径|管径|粗)[^,。;]{0,4}")  # "阑尾增粗,直径约11mm"
_DIAMETER_ZH = re.compile(r"(?:直径|长径|最大径|大小|范围)约?\s?\Z")
_DIAMETER = re.compile(r"\s?(?:in\s)?diameter\b")
_MEASURE_OF = re.compile(r"(?:diameter|calib[a-z]+|width|length|size)s? of (?:the )?\Z")


_ANOTHER_SIZE = re.compile(r"[0-9]\s?(?:mm|cm|毫米|厘米)")


def measured_organ(folded: str, organs: Sequence[Piece], size: Size) -> int | None:
    """Index of the organ whose width a size is: that of "diameter of the ...", else the nearest before, else behind."""
    before = [
        i
        for i, organ in enumerate(organs)
        if organ.stop <= size.start and not _ANOTHER_SIZE.search(folded, organ.stop, size.start)
    ]
    for index in reversed(before):
        if _MEASURE_OF.search(folded[max(0, organs[index].start - 30) : organs[index].start]):
            return index
    if before and size.start - organs[before[-1]].stop < 60:
        return before[-1]
    behind = [i for i, organ in enumerate(organs) if 0 <= organ.start - size.stop < 60]
    return behind[0] if behind else None


# "Common duct measures 9 mm, ...": a measure with a subject of its own is not that of a finding told later
_LISTED = re.compile(r"[\s-]*(?:,|/|and|or|to|,\s?and)?\s?(?:a\s)?")


def _parted(folded: str, size: Size, claim: Claim, sizes: Sequence[Size]) -> bool:
    """ "dilated to 8 mm upstream of a 25 mm mass": another size stands nearer to the finding, and they are no list."""
    between = [other for other in sizes if size.stop <= other.start and other.stop <= claim.start]
    return bool(between) and not _LISTED.fullmatch(folded[size.stop : between[0].start])


_SUBJECT_BEFORE = re.compile(r"\b(?:measures|measured|is|was)\s(?:approximately |about |up to )?\Z")
# "中线右移约4mm", "cavity, 22 mm": right behind a name, even one that describes another finding
_BESIDE = re.compile(r"\s?(?:of|约|为|大小约?|直径约?|最大径约?|:|\s)*\s?")
_SUBORDINATE = re.compile(
    r"\b(?:with|showing|containing|surrounded by|accompanied by|adjacent to)\s(?:[a-z-]+\s){0,4}\Z"
    r"|(?:伴有?|周围|内见|内有)[^,。;]{0,6}\Z"
)
_GOES_BACK = re.compile(
    r",\s*(?:(?:and|which|it|with)\s)*(?:measur|in size|in diameter"
    r"|a (?:diameter|size)|approximately|about|[0-9])"
)


def _head(folded: str, claims: Sequence[Claim], claim: Claim | None, size: Size) -> Claim | None:
    """ "A nodule with a ground-glass halo around it, measuring 6 mm": after the comma it is the nodule again."""
    if claim is None:
        return None
    if claim.concept.id == "wall_thickening" and _DIAMETER_ZH.search(folded, claim.stop, size.start):
        # "空洞,壁厚薄不均,直径约25mm": a wall has a thickness, what it encloses a diameter
        return next((c for c in reversed(claims) if c.stop <= claim.start and c.presence == claim.presence), claim)
    if not _GOES_BACK.search(folded, claim.stop, size.stop):
        return claim
    earlier = [c for c in claims if c.stop <= claim.start and c.presence == claim.presence and not c.describes]
    if earlier and _SUBORDINATE.search(folded, earlier[-1].stop, claim.start):
        return earlier[-1]
    return claim


# Findings without a size of their own.
_UNMEASURED = frozenset(
    (
        *("volume_loss", "air_trapping", "mosaic_attenuation", "hepatic_steatosis", "osteoporosis"),
        *("scoliosis", "kyphosis", "degenerative_change", "mesenteric_panniculitis", "cardiomegaly", "crazy_paving"),
        *("air_bronchogram", "honeycombing", "tree_in_bud"),
    )
)
# "the wall thickness of the oesophagus was measured as 8 mm and increased"
_AND_SO = re.compile(r"[\s,]*(?:(?:and|which|is|was)\s)*")
_IN_ORGAN = re.compile(r"\b(?:in|at|on|within) (?:the )?(?:(?:left|right|both) )?(?:[a-z]+ )?\Z")
_NEW_SUBJECT = re.compile(r",|;|\band\b")


def _of_nodes(folded: str, claims: Sequence[Claim], nodes: Sequence[Piece], size: Size) -> bool:
    """ "Misty mesentery and several lymph nodes, the largest 8 mm": the size of nodes that are no finding."""
    before = max((node for node in nodes if node.stop <= size.start), key=lambda node: node.stop, default=None)
    if before is None or "(" in folded[max(0, before.start - 12) : before.start]:
        return False
    if any(claim.start < before.stop and before.start < claim.stop for claim in claims):
        return False
    earlier = [claim for claim in claims if claim.stop <= before.start]
    if any(before.stop <= claim.start < size.start for claim in claims) or (earlier and _nodal(earlier[-1])):
        return False
    return not earlier or bool(_NEW_SUBJECT.search(folded, earlier[-1].stop, before.start))


def _nodal(claim: Claim) -> bool:
    return "lymph" in claim.concept.id


def _of_organ(folded: str, claim: Claim | None, organ: Piece, size: Size) -> bool:
    """Whether words between an organ and a size tell it to be the organ's own."""
    width = _ORGAN_WIDTH.match(folded[organ.stop : size.start])
    if width and claim is not None:
        # "a cyst in the lobe with a diameter of", "consolidation in the lower lobe reaching a diameter of"
        inside = _IN_ORGAN.search(folded, claim.stop, organ.start) and "," not in folded[claim.stop : organ.start]
        width = None if inside or width.group().lstrip().startswith("with") else width
    return bool(
        _MEASURE_OF.search(folded[max(0, organ.start - 30) : organ.start])
        or width
        or (claim is None and _MEASURED_ORGAN.match(folded[organ.stop : size.start]))
        or (claim is None and _GROWN_ORGAN.fullmatch(folded, organ.stop, size.start))
    )


def attach_sizes(
    folded: str,
    claims: Sequence[Claim],
    sizes: Sequence[Size],
    organs: Sequence[Piece],
    nodes: Sequence[Piece] = (),
) -> list[Size]:
    """Gives sizes of lesions to their findings; returns those that found none.

    Arguments:
        folded: folded text.
        claims: the findings of a sentence; their `sizes` are extended.
        sizes: its sizes.
        organs: where it names organs.
        nodes: those of them that are lymph nodes.
    """
    left: list[Size] = []
    claims = [claim for claim in claims if claim.concept.id not in _UNMEASURED]
    for size in sizes:
        if size.role != "lesion":
            continue
        claim = following(folded, claims, size.stop, _SIZE_BREAK)
        if claim is not None and _parted(folded, size, claim, sizes):
            claim = None
        whose = host(claims, size.start - 1)
        if claim is not None and claim.describes and whose is not None and not whose.describes:
            # "nodule with 7 mm diameter rim calcification": nobody gives the diameter of a rim
            claim = whose if _DIAMETER.match(folded, size.stop) else claim
        if claim is None:
            before = host([c for c in claims if c.start <= size.start], size.start)
            beside = next((c for c in claims if _BESIDE.fullmatch(folded, c.stop, size.start)), before)
            before = before if beside is None or beside.presence == "absent" else beside
            nearest = max((c.stop for c in claims if c.start <= size.start), default=-1)
            organ = max(
                (organ for organ in organs if nearest <= organ.start < size.start), key=lambda o: o.start, default=None
            )
            thick = next((c for c in claims if c.start >= size.stop and c.concept.id == "wall_thickening"), None)
            if thick is not None and _AND_SO.fullmatch(folded, size.stop, thick.start):
                thick.sizes.append(size)
                continue
            if organ is not None and _of_organ(folded, before, organ, size):
                left.append(size)
                continue
            if _of_nodes(folded, claims, nodes, size):
                left.append(size)
                continue
            if before is not None and before.concept.id == "dilatation" and any(s.stop < before.start for s in left):
                # "the aorta is 43 mm and the pulmonary artery is wider than normal at 30 mm": each organ has its own
                left.append(size)
                continue
            claim = _head(folded, claims, before, size)
            if (
                claim is not None
                and claim.presence == "absent"
                and not claim.clause.start <= size.start < claim.clause.stop
            ):
                left.append(size)  # "hila not enlarged; small nodes, shorter than 8 mm"
                continue
        if claim is None and not _SUBJECT_BEFORE.search(folded, max(0, size.start - 30), size.start):
            later = [c for c in claims if c.start >= size.stop]
            claim = next((c for c in later if not c.describes), None)
            if claim is None and later and not re.search(r"\bwith\b", folded[size.stop : later[0].start]):
                claim = later[0]  # "an area of 27x65 mm with a calcific focus" does not measure the focus
        if claim is None:
            left.append(size)
        else:
            claim.sizes.append(size)
    return left
