"""Sizes in a text, converted to millimetres, told apart from slice thickness, distances and earlier sizes."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Literal

# Which thing a length describes. "previous" is a size at an earlier examination.
Role = Literal["lesion", "previous", "distance", "technique"]

# Words that stand for a range of sizes, in mm. "millimetric" is below a centimetre; a micronodule is
# below 5 mm (ATS wording; the Chinese lung-nodule consensus uses the same 5 mm for 微小结节).
RANGE_WORDS: tuple[tuple[str, tuple[float, float]], ...] = (
    (r"(?<![a-z])(?:sub-?centimet(?:ric|re|er)|millimet(?:ric|rical|er-sized|re-sized|er sized))", (0.0, 10.0)),
    (r"(?<![a-z0-9])(?<![0-9] )mm-sized|毫米级|亚厘米", (0.0, 10.0)),
    (r"(?<![a-z])(?:micronod|micro-nod)|(?:微小|小微)(?=.{0,6}(?:结节|灶))|(?:粟粒)", (0.0, 5.0)),
)

_FACTOR = {"mm": 1.0, "cm": 10.0, "毫米": 1.0, "厘米": 10.0, "公分": 10.0, "m": 1.0, "c": 10.0}
_NUMBER = r"[0-9]{1,4}(?:[.,][0-9]{1,2})?(?![0-9])"
_DIGITS_ZH = {**{digit: value for value, digit in enumerate("零一二三四五六七八九")}, "两": 2, "〇": 0}
# "一点二厘米", "十二毫米": numerals in words, below a hundred
_LENGTH_ZH = re.compile(
    r"(?=[零一二两三四五六七八九十])(?P<tens>[一二三四五六七八九]?十)?(?P<ones>[零一二两三四五六七八九])?(?:点(?P<tenths>[零〇一二三四五六七八九]{1,2}))?"
    r"(?P<unit>毫米|厘米|公分)"
)
_UNIT = r"(?:m{2,3}|cm|millimet(?:er|re)s?|centimet(?:er|re)s?|毫米|厘米|公分)(?![a-wyz²³]|\s?[23]\b(?!\s?[.,x]))"
_ALONG = r"(?:\s?\(?(?:ap|trv?|trans(?:verse)?|cc|si|craniocaudal|anteroposterior)\)?)?"  # "5.6 cm AP x 4.9 cm TR"
_TIMES = rf"{_ALONG}\s?(?:x|\*|by|乘)\s?"
_TO = r"\s?(?:-|to|and|至|到)\s?"
_LENGTH = re.compile(
    r"(?<![0-9a-z.])(?<![0-9],)"
    # not the number of a segment: "12 mm in segment 6 and 9 mm in segment 2"
    rf"(?!(?<=segment )[0-9]{{1,2}}\s?(?:and|to|,))(?P<first>{_NUMBER})(?:[- ]?(?P<unit1>{_UNIT}))?"
    rf"(?:(?P<times>{_TIMES}{_NUMBER}(?:[- ]?{_UNIT})?(?:{_TIMES}{_NUMBER}(?:[- ]?{_UNIT})?)?)"
    rf"|(?P<to>{_TO})(?P<second>{_NUMBER}))?"
    rf"(?:(?:(?<=[0-9]){_ALONG})?[- ]?(?P<unit>{_UNIT}))?"
)
_PART = re.compile(rf"(?P<value>{_NUMBER})(?:[- ]?(?P<unit>{_UNIT}))?")

_BELOW = re.compile(
    r"(?:up to|\bsub-?|(?:less|smaller|lower|fewer) than|not exceeding|(?:do|does) not exceed|under"
    r"|below|<|≤|at most|no larger than|within"
    r"|小于|不超过|不足|未超过|不大于|最大至)\s*(?:or equal to\s*)?(?:about|approximately|约)?\s*\Z"
)
_ABOVE = re.compile(
    r"(?:(?:larger|greater|more|bigger|longer|over) than|exceeding|exceeds|over|above"
    r"|(?<![-=])>|≥|at least|大于|超过|不小于)\s*"
    r"(?:or equal to\s*)?(?:about|approximately|约)?\s*\Z"
)
_BELOW_AFTER = re.compile(r"\s*(?:or|and)\s(?:less|smaller|under|below)|\s*(?:以下|以内|之内)|\s*或(?:更小|以下)")
_ABOVE_AFTER = re.compile(
    r"\s*(?:or|and)\s(?:more|larger|greater|over|above)(?! (?:than )?(?:the )?normal)|\s*(?:以上)"
    r"|\s*或(?:更大|以上)"
)
_BETWEEN = re.compile(r"(?:between|from|ranging|range|ranges|varying|介于|介乎)(?:\s(?:from|between))?\s*\Z")

_PREVIOUS_BEFORE = re.compile(
    r"(?:previous(?:ly)?|prev\.?|prior|formerly|earlier|before|initially|compared (?:to|with)|versus|vs\.?|old|last)"
    r"(?:\s(?:measured|measuring|size|was|were|examination|study|exam|ct|scan|value|it|its"
    r"|in|on|at|the|diameter|of|approximately"
    r"|about|to|up)){0,6}\s*[:,(]?\s*(?:\S{0,10}[0-9]\S{0,8}\s?:?\s?)?\Z"
    r"|(?:\bwas|\bwere)\s(?:approximately\s|about\s)?\Z(?=never)"
    r"|(?:increased|decreased|grown|enlarged|grew|shrunk|reduced|regressed|changed)\s(?:in size\s"
    r"|in diameter\s)?from\s\Z"
    r"|\(was\s\Z"
    r"|[0-9]\s?[mc]m,?\s(?:(?:in [a-z]+|today|now|currently),?\s)?"
    r"(?:(?:down|up|increased|decreased|changed)\s)?"
    r"from\s(?:about\s|approximately\s)?\Z"
    r"|较(?:前|上次|原|老|旧)(?:片|次)?\(约?\Z"
    r"|[(,;]前(?:约|为)?\Z|(?:原来?|前次|前片|上次|既往|此前|以前|旧片|原片|先前|之前|前者)[^,。;]{0,10}\Z"
)
_PREVIOUS_AFTER = re.compile(
    r"\s*(?:in (?:size|diameter|length)\s?)?\)?\s*(?:previously|formerly|before\b(?! the)|earlier"
    r"|(?:in|on|at) (?:the|her|his|a)? ?(?:previous|prior|last|old|earlier))"
    r"|\s*(?:\(?原|\(?前片|\(?前次)(?=[)。;]|\Z)"
    r"|\s*(?:[-=]{1,2}>|→)|\s*(?:明显|稍)?(?:缩小|增大|增加|减小|减少|变)(?:至|到|为|成)"
)
# "8 mm previously, 11 mm currently"
_NOW_AFTER = re.compile(r"\s?\)?,?\s?(?:currently|now|today|at present)\b(?!\s?(?:[a-z]+\s){0,3}[0-9])")
_PREVIOUS_LATER = re.compile(r"\b(?:previous|prior|last|former|old)\s(?:[a-z]+\s){0,2}(?:exam|study|scan|ct|review|mr)")
_STILL_THERE = re.compile(r"\b(?:also|stable|unchanged|same|similar|compared|current|now)\b|相仿|现")
_TECHNIQUE_BEFORE = re.compile(
    r"(?:(?:slice|section|collimation|reconstruction|sectional|cut|axial)s?"
    r"(?:[- ](?:thickness|thick|interval|increment|spacing|gap))?"
    r"|reconstructed|contiguous|acquired|(?:\A|[.;:]\s?)(?:thickness)|collimation|increment|层厚|层间距|层距|间隔|准直)"
    r"(?:\s(?:of|was|is|with|at|about|a|in|section|slice|between))*\s*[:=为约]?\s*\Z"
)
_TECHNIQUE_AFTER = re.compile(
    r"[- ]?(?:(?:thick|thin)[- ])?(?:(?:non-?contrast|axial|contiguous|contrast)[- ])?(?:slices?|images(?!\s?[0-9])"
    r"|sections?|collimation|reconstructions?|cuts?|intervals?|层厚|薄层|层|间隔)(?![a-z])"
    r"|[- ]?thick(?:\s(?:non|axial|images|scan|section|slice|multi|cross))"
)
_DISTANCE_BEFORE = re.compile(
    r"(?:distance|距|相距)\D{0,14}\Z|(?:at a depth of|deep|along an?|along(?: the)?"
    r"|thickening(?: of)?[^.,;]{0,40} over"
    r"|over (?:an?\s)?(?:length|segment|distance|span)(?: of)?)\s(?:about |approximately )?\Z"
)
_BY = re.compile(
    r"(?:creased|grown|grew|enlarged|shrunk|reduced|regressed)(?:\sin (?:size|diameter))?\sby\s"
    r"(?:about |approximately )?\Z"
)
# "The ascending aorta diameter has increased by 42 mm" tells, in a translation, the diameter it has now; no vessel
# grows by so much from one examination to the next.
_VESSEL_BY = re.compile(r"(?:aort|arter|trunk|conus|cava).*\bincreased by\s(?:about |approximately )?\Z")
_VESSEL_MM = 20.0
# "series 2 image 143 mm-sized nodules": the number is that of the image
_IMAGE_BEFORE = re.compile(r"\b(?:images?|ima?g?|slices?)\s\Z")
# "隆突上方约3cm" tells how far, "上方约3cm结节" how large
_APART_ZH = re.compile(r"(?:上方|下方|前方|后方)约?\s?\Z")
_LESION_ZH = re.compile(r"[^,。;]{0,4}(?:结节|肿块|团块|影|灶)")
_DISTANCE_AFTER = re.compile(
    r"\s*(?:(?:away|apart|distant|distal|proximal|above|below|beneath|cranial|caudal|superior"
    r"|inferior|deep (?:to|from)|lateral|medial"
    r"|anterior|posterior)\b(?!\s?-?(?:segment|lingul|bas[ai]l|lobe|part|portion|(?:the )?(?:upper limit|normal)))"
    r"|from the (?!left|right upper|right lower|right lung)|off the"
    r"|of the (?:carina|pleura|fissure|capsule|skin|hilum|midline)\b|to the (?:pleura|carina|skin)|处)"
)
_WALL_BEFORE = re.compile(r"(?:wall(?:s)? thickness|wall|壁厚)(?:\s(?:of|is|was|measuring|up to|about))*\s*约?\Z")
_THICK_AFTER = re.compile(
    r"[\s,]*(?:and|which)?\s?(?:is |was )?(?:[a-z]+ly )?(?:increased|thicke|above|more than normal)"
)
# "which was 45 mm, is measured as 30 mm today"
_WAS = re.compile(r"\b(?:which|that|it|size|diameter)\s(?:was|were)\s(?:(?:measured|as|about|approximately)\s)*\Z")
_IS = re.compile(r"\b(?:is|are|now|currently|has become|measures)\b")


@dataclasses.dataclass(frozen=True)
class Size:
    """One length expression in a text.

    Arguments:
        start, stop: character range.
        mm: dimensions in mm, longest first; empty for a range.
        range_mm: (low, high) in mm, or None.
        role: what the length describes.
    """

    start: int
    stop: int
    mm: tuple[float, ...]
    range_mm: tuple[float, float] | None
    role: Role


def find_sizes(folded: str, start: int = 0, stop: int | None = None) -> list[Size]:
    """Lengths in ``folded[start:stop]`` (see `radfind.language.text.fold`), in reading order."""
    stop = len(folded) if stop is None else stop
    sizes: list[Size] = []
    for match in _LENGTH.finditer(folded, start, stop):
        sizes += _sizes(folded, match, start, stop)
    sizes += [
        Size(match.start(), match.end(), (_mm_in_words(match),), None, _role(*_around(folded, match, start, stop)))
        for match in _LENGTH_ZH.finditer(folded, start, stop)
    ]
    for pattern, bounds in RANGE_WORDS:
        for match in re.compile(pattern).finditer(folded, start, stop):
            sizes.append(Size(match.start(), match.end(), (), bounds, "lesion"))
    sizes = _joined_axes(folded, sorted(sizes, key=lambda size: size.start), stop)
    return _earlier(folded, sizes, stop)


_AXIS = (
    r"(?:(?:long(?:est)?|short(?:est)?|major|minor|transverse|anteroposterior|ap|craniocaudal|vertical|axial)"
    r"(?:ly)?(?:[- ](?:axis|dimensions?|diameter|plane))?)"
)
_AXIS_NEXT = re.compile(
    r"[\s,、;及和]*(?:短径|宽径?|长径?)(?:约|为|[\s:])*"
    rf"|\s*(?:(?:in|along|on)\s)?(?:the |its )?(?:{_AXIS}|(?:at|in) (?:its|the) (?:wid|thick|larg)est (?:point|part))?"
    rf"\s*(?:,|x|and)\s*(?:with )?(?:(?:an? |the |its )?{_AXIS}\s(?:of|is|was|measures)?\s*)?"
)
_AXIS_AFTER = re.compile(rf"\s*(?:(?:in|along|on)\s)?(?:the |its )?{_AXIS}(?![a-z])")


_SHORT = ("short", "短径")


def _joined_axes(folded: str, sizes: list[Size], stop: int) -> list[Size]:
    """ "长径9mm,短径7mm", "14 mm transverse and 10 mm AP": two axes of one lesion."""
    joined: list[Size] = []
    for size in sizes:
        last = joined[-1] if joined else None
        gap = folded[last.stop : size.start] if last else ""
        named = re.search(rf"[短长]径|[宽长]约?|{_AXIS}", gap) and (
            re.search("短径|宽|长", gap)
            or re.search(rf"{_AXIS}\s(?:of|is|was)?", gap[-24:])
            or _AXIS_AFTER.match(folded, size.stop, stop)
        )
        twice = last and any(name in gap and name in folded[max(0, last.start - 16) : last.start] for name in _SHORT)
        if (
            last
            and named
            and not twice
            and len(last.mm) in (1, 2)
            and len(size.mm) == 1
            and last.role == size.role
            and _AXIS_NEXT.fullmatch(gap)
        ):
            mm = tuple(sorted((*last.mm, *size.mm), reverse=True))
            joined[-1] = Size(last.start, size.stop, mm, None, size.role)
        else:
            joined.append(size)
    return joined


def _earlier(folded: str, sizes: list[Size], stop: int) -> list[Size]:
    """ "8 mm, seen in the right lung in the previous examination, now measures 5 mm": with several sizes, one whose own
    words name an earlier examination is an earlier size."""
    result = []
    for size, following in zip(sizes, [*sizes[1:], None], strict=False):
        words = folded[size.stop : min(stop, size.stop + 140, following.start if following else stop)]
        past = (
            following is not None
            and following.role == "lesion"
            and _PREVIOUS_LATER.search(words)
            and not _STILL_THERE.search(words)
        )
        before = folded[max(0, size.start - 60) : size.start]
        past = past or bool(
            following is not None
            and following.role == "lesion"
            and _WAS.search(before)
            and _IS.search(folded, size.stop, following.start)
        )
        result.append(dataclasses.replace(size, role="previous") if past and size.role == "lesion" else size)
    return result


def _sizes(folded: str, match: re.Match[str], start: int, stop: int) -> list[Size]:
    last_unit = match["unit"] or match["unit1"]
    if last_unit is None and match["times"]:
        units = [part["unit"] for part in _PART.finditer(match["times"]) if part["unit"]]
        last_unit = units[-1] if units else None
    if last_unit is None:
        return []
    before, after = _around(folded, match, start, stop)
    first = _mm(match["first"], match["unit1"] or last_unit)
    if _IMAGE_BEFORE.search(before) and not match["times"]:
        return []
    role = "lesion" if first >= _VESSEL_MM and _VESSEL_BY.search(before) else _role(before, after)
    if match["times"]:
        parts = [first]
        for part in _PART.finditer(match["times"]):
            parts.append(_mm(part["value"], part["unit"] or last_unit))
        return [Size(match.start(), match.end(), tuple(sorted(parts, reverse=True)), None, role)]
    if match["second"]:
        second = _mm(match["second"], match["unit"] or last_unit)
        joined = match["to"].strip()
        is_range = joined in ("-", "至", "到") or (joined == "to") or _BETWEEN.search(before)
        if (
            joined == "to"
            and re.search(r"from\s*\Z", before)
            and re.search(r"(?:creased|grown|grew|reduced|changed|gress|shr[aiu]nk|enlarged|gone|went)", before)
        ):
            return [Size(match.start(), match.end(), (second,), None, "lesion")]
        if is_range and second >= first:
            return [Size(match.start(), match.end(), (), (first, second), role)]
        # "5 and 8 mm": two lesions, not two dimensions of one
        middle = match.start("to")
        return [Size(match.start(), middle, (first,), None, role), Size(middle, match.end(), (second,), None, role)]
    if _BELOW.search(before) or _BELOW_AFTER.match(after):
        return [Size(match.start(), match.end(), (), (0.0, first), role)]
    if _ABOVE.search(before) or _ABOVE_AFTER.match(after):
        return [Size(match.start(), match.end(), (), (first, math.inf), role)]
    return [Size(match.start(), match.end(), (first,), None, role)]


def _around(folded: str, match: re.Match[str], start: int, stop: int) -> tuple[str, str]:
    """The words before and after a length that tell what it is of."""
    return folded[max(start, match.start() - 60) : match.start()], folded[match.end() : min(stop, match.end() + 40)]


def _mm_in_words(match: re.Match[str]) -> float:
    """Millimetres of a match of `_LENGTH_ZH`."""
    tens = 10 * _DIGITS_ZH.get(match["tens"][0], 1) if match["tens"] else 0
    ones = _DIGITS_ZH[match["ones"]] if match["ones"] else 0
    tenths = "".join(str(_DIGITS_ZH[digit]) for digit in match["tenths"] or "零")
    return _mm(f"{tens + ones}.{tenths}", match["unit"])


def _role(before: str, after: str) -> Role:
    if _TECHNIQUE_BEFORE.search(before):
        return "technique"
    if _TECHNIQUE_AFTER.match(after):
        return "technique"
    if _NOW_AFTER.match(after):
        return "lesion"
    if _PREVIOUS_BEFORE.search(before) or _PREVIOUS_AFTER.match(after):
        return "previous"
    if _BY.search(before) or (_APART_ZH.search(before) and not _LESION_ZH.match(after)):
        return "distance"
    if _WALL_BEFORE.search(before) and not _THICK_AFTER.match(after):
        return "distance"
    if _DISTANCE_BEFORE.search(before) or _DISTANCE_AFTER.match(after):
        return "distance"
    return "lesion"


def _mm(number: str, unit: str) -> float:
    factor = _FACTOR[unit if unit in _FACTOR else unit[0]]
    return round(float(number.replace(",", ".")) * factor, 3)
