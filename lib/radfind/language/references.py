"""Series and image numbers a report points at: ``series 3 image 42``, ``(IMA 8-34)``, ``序列3图像42``.

Numbers are kept as written (1-based, as PACS viewers show them).
"""

from __future__ import annotations

import re

from radfind.language.findings import ImageReference
from radfind.language.text import fold, span_of

# The longest range that is spelled out image by image; of a longer one only both ends are kept.
LONGEST_RANGE = 50

# "(IMA 8-34)" is series 8, image 34. "im. 42-44" is more likely a range: series are seldom numbered so high, and their
# number is seldom followed so closely by that of an image. A convention of our own; "images 8-12" is always a range.
_FIRST_OF_RANGE = 31
_CLOSE_BY = 10

_KEY = r"(?<![a-z0-9])"
_MARK = r"\s*(?:\.?\s?(?:no\.?|nr\.?|numbers?)|\.|:|=|#|号|第)?\s*[:#]?\s*"
_SERIES = rf"(?:{_KEY}(?:series|serial|serie|ser|se|sequence|seq|scan\ series)|序列|系列){_MARK}"
_IMAGE_NAME = r"(?:images|image|imgs|img|ima|im|slices|slice|sl|sections|section|frames|frame)"
_IMAGE = rf"(?:{_KEY}{_IMAGE_NAME}|图像|影像|图|层面|层号){_MARK}"
# Not a size, a decimal, a date, a percentage, an age or a count of something.
_ALONE = (
    r"(?![0-9])(?!\s?[.,/:-]\s?[0-9])"
    r"(?!\s*(?:mm|cm|毫米|厘米|x\s*[0-9]|%|hu\b|[- ]?(?:years?|months?|weeks?|days?)\b|岁|年|月))"
)
_LAST = (
    r"(?![0-9])(?![.:/-][0-9])(?!\s*(?:mm|cm|毫米|厘米|x\s*[0-9]|%|hu\b|[- ]?(?:years?|months?|weeks?"
    r"|days?)\b|岁|年|月))"
)
_NUMBER = r"[0-9]{1,4}"
_CLOSE = r"(?=\s*(?:\Z|[^a-z0-9\s]|(?:and|of|in|on|to|series|ser|se|the|for|as|is|are|was|were|see)\b))"
_JOIN = r"\s*(?:,|and|&|、|和|及|与|to|through|至|到|-)\s*"
_LIST = rf"(?P<list>{_NUMBER}(?:{_JOIN}{_NUMBER}{_LAST}{_CLOSE}){{0,12}}){_LAST}"
_BETWEEN = r"\s*[,;/:)(\[\]-]?\s*(?:and|at|on|the|axial|的)?\s*[(\[]?\s*"

_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        # series/image 3/42 · se/im: 3-42
        rf"{_KEY}(?:series|ser|se)\.?\s?/\s?(?:image|img|ima|im)s?{_MARK}(?P<series>{_NUMBER})\s?[/-]\s?(?P<one>{_NUMBER}){_LAST}",
        # series 3/42
        rf"{_KEY}series\s(?P<series>{_NUMBER})\s?/\s?(?P<one>{_NUMBER}){_LAST}",
        # slice 42/310 · 第42/310层: of so many
        rf"{_KEY}slice{_MARK}(?P<one>{_NUMBER})\s?/\s?{_NUMBER}(?![0-9])",
        rf"第\s?(?P<one>{_NUMBER})\s?/\s?{_NUMBER}\s?(?:层|幅|张)",
        # image 42 of series 3 · image 42 (series 3): first, or the next form would take "series 3 image 7" of a list
        rf"{_IMAGE}{_LIST}\s*(?:of|in|on|from|at|\()\s*(?:the\s)?\s*{_SERIES}(?P<series>{_NUMBER})(?![0-9])",
        # series 3 image 42 · se4/im120 · ser. 5, img. 66 · 序列3图像42 · 序列3第42层
        rf"{_SERIES}(?P<series>{_NUMBER})(?![0-9.]){_BETWEEN}(?:{_IMAGE}|section\s|第\s*){_LIST}\s*(?:层面?|幅|张)?",
        # Se3Im42 · S3 IM42; not "segment S3, image 42"
        rf"{_KEY}(?:(?:series|ser|se)\s?(?P<series>{_NUMBER})[\s,;/-]{{0,2}}|s\s?(?P<short>{_NUMBER})[\s/-]?)"
        rf"{_IMAGE_NAME}{_MARK}(?P<one>{_NUMBER}){_LAST}",
        # 第3序列第42幅图像 · 3号序列图像42
        rf"(?:第\s*)?(?P<series>{_NUMBER})\s*号?\s*(?:序列|系列)\s*,?\s*(?:的)?(?:第|{_IMAGE}|(?=[0-9]+\s?(?:层|幅|张)))\s*{_LIST}\s*(?:层面?"
        rf"|幅|张)?(?:图像)?",
        # image 42, series 3
        rf"{_IMAGE}{_LIST}\s*[,;/\[]?\s*{_SERIES}(?P<series>{_NUMBER})(?![0-9])",
        # s3 i42 · S3/I42
        rf"{_KEY}s\s?(?P<series>{_NUMBER})\s?[,/:-]?\s?i\s?(?P<one>{_NUMBER}){_LAST}",
        # (IMA 8-34) · image 3/42: series, then image; a plural with a hyphen is a range instead
        rf"(?:{_KEY}(?:image|img|ima|im)|图像|图){_MARK}(?P<series>{_NUMBER})\s?[-/]\s?(?P<one>{_NUMBER}){_LAST}",
        rf"{_KEY}(?:images|imgs){_MARK}(?P<series>{_NUMBER})\s?/\s?(?P<one>{_NUMBER}){_LAST}",
        # (4:87): series, then image, in brackets of its own
        rf"\(\s?(?P<series>[0-9]{{1,3}})\s?:\s?(?P<one>{_NUMBER})\s?\)",
        # image 42 · images 42, 43 and 45 · 图像42
        rf"{_IMAGE}{_LIST}",
        # 第42层 · 第42-45幅
        rf"第\s*{_LIST}\s*(?:层面?|幅|张)",
    )
)


_PAIR = re.compile(rf"(?:{_KEY}{_IMAGE_NAME}|图像|图){_MARK}[0-9]")


def find_references(text: str) -> tuple[ImageReference, ...]:
    """Every series / image reference of `text`, in reading order; a list or range gives one per image.

    Source of the forms: wordings seen in published report corpora and PACS stamps (Se/Im); a series number
    alone points at no slice and is not returned.
    """
    return references_in(text, fold(text))


def references_in(text: str, folded: str) -> tuple[ImageReference, ...]:
    """As `find_references`, for a text already folded."""
    taken: list[tuple[int, int, list[ImageReference]]] = []
    occupied = bytearray(len(folded))
    for pattern in _PATTERNS:
        for match in pattern.finditer(folded):
            start, stop = match.span()
            if any(occupied[start:stop]):
                continue
            groups = match.groupdict()
            images = [int(groups["one"])] if groups.get("one") else _numbers(groups["list"])
            written = groups.get("series") or groups.get("short")
            if "-" in match.group() and written and groups.get("one") and _PAIR.match(folded, start):
                first, last = int(written), images[0]
                if first >= _FIRST_OF_RANGE and first < last <= first + _CLOSE_BY:
                    images, written = list(range(first, last + 1)), None
            series = int(written) if written else None
            span = span_of(text, start, stop)
            found = [ImageReference(image, series, span) for image in images if image > 0]
            if found:
                occupied[start:stop] = b"\1" * (stop - start)
                taken.append((start, stop, found))
    return tuple(reference for _, _, found in sorted(taken, key=lambda item: item[0]) for reference in found)


def _numbers(listed: str) -> list[int]:
    """ "42, 45 and 47-49" -> [42, 45, 47, 48, 49]."""
    tokens = re.findall(r"[0-9]+|-|to|through|至|到", listed)
    numbers: list[int] = []
    for index, token in enumerate(tokens):
        if not token.isdigit():
            continue
        value = int(token)
        if index and not tokens[index - 1].isdigit() and numbers and numbers[-1] < value <= numbers[-1] + LONGEST_RANGE:
            numbers.extend(range(numbers[-1] + 1, value + 1))
        else:
            numbers.append(value)
    return numbers
