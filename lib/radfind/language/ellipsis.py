"""Findings whose name is spread over a clause: "pleural or pericardial effusion", "lymph nodes are not enlarged".

Radiologists leave out what two findings share ("pericardial effusion-thickening" names pericardial effusion and
pericardial thickening) and put words between an organ and its change ("胸膜未见增厚"). The full name is put together
here and kept only when the lexicon knows it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from radfind.language.concepts import Concept
from radfind.language.lexicon import Lexicon, Match
from radfind.language.lymph_nodes import Mention, enlarged_name, with_listed_nodes
from radfind.language.text import Piece

_HEART_RATIO = r"(?:cardio-?thoracic (?:ratio|index)|cto|ctr|心胸比(?:例|率)?)"
_DISC_TO = "椎?间盘(?:局部|轻度|明显)?向[左右前后外侧上下]{1,4}方?"  # "椎间盘向左后方突出"
# Changes the lexicon does not list as terms of their own -> the general finding they stand for; its organ makes it
# special later ("increase in oesophageal wall thickness").
_GENERAL: tuple[tuple[str, str], ...] = (
    (
        "wall_thickening",
        r"increase(?:d|s)? (?:in )?(?:[a-z]+ ){0,3}(?:wall )?thickness|(?:wall )?thickness(?:es)? increases?"
        r"|(?<=壁不)厚|thickness (?:of the (?:[a-z]+ ){1,3})?(?:(?:is|was|has|been) ){1,2}(?:[a-z]+ly )?increased",
    ),
    (
        "dilatation",
        r"(?:wider|larger|greater) than (?:the )?normal|above (?:the )?normal|dilatations?"
        r"|dilation|dilated|ectatic|ectasia|widened|widening|aneurysmatic|扩张|增宽",
    ),
    ("effusion", "积水"),
    (
        "cardiomegaly",
        rf"{_HEART_RATIO}(?: ratio| index)?(?: (?:is|was|has|has been|slightly|minimally|significantly))*"
        r" (?:increased|enlarged)(?: in favou?r of (?:the )?heart)?"
        rf"|(?:increased?|increased|enlarged)(?: in)?(?: the)? {_HEART_RATIO}(?: ratio)?",
    ),
    (
        "atelectasis",
        r"collapse(?=\sof (?:the )?(?:(?:right|left|entire|whole)\s)?(?:upper|middle|lower|lung|lobe))"
        r"|(?<=lobe )collapse|(?<=\b[rl][uml]l )collapse"
        r"|collapsed(?=\s(?:(?:right|left)\s)?(?:upper|middle|lower|lung|lobe))",
    ),
    ("stenosis", r"narrowed|narrowing|stenotic|狭窄|变窄"),
    ("disc_herniation", rf"{_DISC_TO}(?:突出|脱出)"),
    ("disc_bulge", rf"{_DISC_TO}膨出"),
)
# Size words that name a finding only together with an organ: "lymph nodes are not enlarged", "心影增大".
_ENLARGED = (
    r"enlarged|enlargement|increased in (?:size|dimensions?|volume)|increase in (?:the )?(?:size|dimensions?|volume)"
    r"|肿大|增大|增粗|(?<=不)大(?!于)"
)
# "The size of the heart has increased", "its diameter is 32 mm and increased"
_GROWN = (
    r"(?:(?:is|are|was|were|has|have|had|been)\s){0,2}(?:[a-z]+ly\s)?"
    r"increased(?=\s*(?:[.,;)]|\Z|(?:and|to|with|by)\b))"
)
# "Diffuse diameter increase in the thoracic aorta"
_WIDTH = r"(?:diameter|calib[a-z]+|width)"
_WIDER = rf"{_WIDTH} increases?|increases? (?:in|of) (?:the )?{_WIDTH}"
_MEASURE_OF = re.compile(
    r"\b(?:(?P<width>diameters?|calib[a-z]+|widths?)|(?P<thick>thickness)|sizes?|lengths?|axis|dimensions?|volumes?)(?:\s[^.;,]{0,60})?\s(?:and\s)?\Z"
)
_PATHOLOGICAL = (
    r"(?:abnormal|patholog(?:ical|ic)(?:ly)?)"
    r"(?: (?:in )?(?:patholog(?:ical|ic) )*(?:sized?|dimensions?|enlarged|appearance|and|or|configured))*|病理性"
)
_CHANGE = re.compile(
    "|".join(
        [f"(?P<general{index}>(?<![a-z])(?:{pattern})(?![a-z]))" for index, (_, pattern) in enumerate(_GENERAL)]
        + [
            f"(?P<enlarged>(?<![a-z])(?:{_ENLARGED})(?![a-z]))",
            f"(?P<pathological>(?<![a-z])(?:{_PATHOLOGICAL})(?![a-z]))",
            f"(?P<grown>(?<![a-z])(?:{_GROWN}))",
            f"(?P<wider>(?<![a-z])(?:{_WIDER})(?![a-z]))",
        ]
    )
)
_CONJUNCTION_BEFORE = re.compile(
    r"([a-z]{3,})\s*(?:(?:,\s*(?:and|or)?|/|-|\band/or\b|\band\b|\bor\b)\s*"
    r"(?P<own>(?:(?:bilateral|left|right|mild|minimal|small|slight|moderate|massive|loculated)\s){0,2})|(?<=al)\s)\Z"
)
_IN_ORGAN = re.compile(r"\b(?:in|at|on) (?:the )?(?:(?:left|right) )?\Z")
_IN_AN_ORGAN = re.compile(r"\s(?:in|of|at|on) (?:the |both |left |right )")
_CONJUNCTION_AFTER = re.compile(
    r"\s*(?:,\s*(?:and|or)?\s|/|-|\s-\s|and/or\s|and\s|or\s)\s*(?:no\s)?((?:increased )?[a-z]{3,})(?![a-z])"
)
_ZH_BEFORE = re.compile(r"([\u4e00-\u9fff]{1,4})(?:、|及|和|与|或|/|-|,)(?P<own>双侧|两侧|左侧|右侧)?\Z")
_ZH_AFTER = re.compile(r"(?:、|及|和|与|或|/|-)([\u4e00-\u9fff]{2,4})")


# Two findings in one word: the concept named by the rest of the word is in the lexicon.
_COMPOUND = (
    ("atelectasis", re.compile(r"fibro(?:tic)?[- ]?atelecta")),
    ("nodule", re.compile(r"metastatic (?:[a-z]+ )?nod")),
)
# An adjective or a comparison that the lexicon knows as a finding by itself: "nodular consolidation", "fluid density".
_ADJECTIVE = re.compile(r"nodular[-\s/]{1,3}(?:patchy?[-\s/]{1,3}|style\s)?\Z")
_LESION = re.compile(r"lesion|mass|formation|space")
# "..., enhances strongly" describes what was named before
_ENHANCES = re.compile(r"强化|enhancement|contrast enhancement|contrast uptake|enhancing")
_LIKENESS = re.compile(r"(?:fluid|liquid|cysts?|液体|囊肿)\Z")
_OF_DENSITY = re.compile(r"\s?(?:fluid\s|liquid\s)?(?:densit|attenuat|signal|样?密度|样?信号)")
# "pericardial 1 cm thick effusion", "pleural 12 mm effusion"
_SIZE_BETWEEN = re.compile(
    r"(?<![a-z])([a-z]{4,}(?:al|ar|ac|ic))\s(?:up to |approximately |about )?"
    r"\d+(?:[.,]\d+)?(?:\s?(?:x|-)\s?\d+(?:[.,]\d+)?)*"
    r"\s?(?:mm|cm)\s?-?(?:thick(?:ness)?|deep|wide|sized?|in (?:thickness|depth|size))?\s"
    r"(?:[a-z]+(?:-[a-z]+)?\s){0,2}\Z"
)


def mentions(folded: str, sentence: Piece, matches: Sequence[Match], lexicon: Lexicon) -> list[Mention]:
    """The findings a sentence names, in reading order, incomplete names completed.

    Arguments:
        folded: text after `radfind.language.text.fold`.
        sentence: its range.
        matches: the lexicon's matches in it.
        lexicon: where they come from.
    """
    named = [Mention(m.concept, m.span.start, m.span.stop) for m in matches if m.concept.kind == "finding"]
    named = [mention for mention in named if not _only_likens(folded, mention, named)]
    named = [_rejoined(folded, sentence, mention, lexicon) for mention in named]
    named = [m for m in named if not any(o is not m and o.start < m.start and m.stop < o.stop for o in named)]
    named = _shared_words(folded, sentence, named, lexicon)
    named = [*named, *_pointed_at_again(folded, sentence, named)]
    named = with_listed_nodes(folded, sentence, named, lexicon)
    named = _with_graded(folded, sentence, named, lexicon)
    for id, pattern in _COMPOUND:
        found = [mention for mention in named if pattern.search(folded, mention.start, mention.stop)]
        named += [
            Mention(lexicon.get(id), mention.start, mention.stop) for mention in found if mention.concept.id != id
        ]
    return sorted(_spread(folded, sentence, named, matches, lexicon), key=lambda mention: (mention.start, mention.stop))


def _only_likens(folded: str, mention: Mention, named: Sequence[Mention]) -> bool:
    """Whether the words describe another finding rather than name one."""
    words = folded[mention.start : mention.stop]
    if words == "壁厚" and re.match(r"约?为?\s?[0-9]", folded[mention.stop : mention.stop + 4]):
        return True
    if _ENHANCES.fullmatch(words):
        if folded.endswith(("无", "无明显"), 0, mention.start) and any(
            other.start - mention.stop in (0, 1) for other in named
        ):
            return True  # "无强化低密度影"
        return any(other.stop <= mention.start and other.concept.id != mention.concept.id for other in named)
    if _LIKENESS.search(folded, mention.start, mention.stop) and _OF_DENSITY.match(folded, mention.stop):
        return any(other.stop <= mention.start for other in named)
    after = min((other for other in named if other.start >= mention.stop), key=lambda m: m.start, default=None)
    if after is None or _LESION.search(folded, after.start, after.stop):
        return False
    return bool(_ADJECTIVE.fullmatch(folded, mention.start, after.start))


# "the left effusion is moderate, whereas that on the right is small", "no nodule other than the 6 mm one"
_ANOTHER_OF_IT = re.compile(
    r"\b(?:(?:that|those|the ones?)(?= (?:on|at|in|of) the (?:right|left)\b)|(?<=the )[0-9.]+\s?[mc]m ones?\b)"
)

# "右侧胸腔积液,左侧少量"
_AMOUNT_THERE = re.compile(r"(?<=[,;][左右]侧)(?:为)?(?:少许|少量|微量|中等?量|大量)(?=[,。;]|\Z)")


def _pointed_at_again(folded: str, sentence: Piece, named: Sequence[Mention]) -> list[Mention]:
    """The finding named before, on the other side: one mention for each pronoun that stands for it."""
    found = []
    again = (pattern.finditer(folded, sentence.start, sentence.stop) for pattern in (_ANOTHER_OF_IT, _AMOUNT_THERE))
    for match in itertools.chain.from_iterable(again):
        before = max((m for m in named if m.stop <= match.start()), key=lambda m: m.stop, default=None)
        if before is not None:
            found.append(Mention(before.concept, match.start(), match.end()))
    return found


# "左肾轻度积水": how much stands between an organ and its change
_GRADED = re.compile(
    r"(?P<organ>[\u4e00-\u9fff]{1,4})(?:轻度|中度|重度|轻微|少量|中量|大量|明显|稍|略|轻中度)(?P<change>[\u4e00-\u9fff]{2})"
)


def _with_graded(folded: str, sentence: Piece, named: list[Mention], lexicon: Lexicon) -> list[Mention]:
    for match in _GRADED.finditer(folded, sentence.start, sentence.stop):
        for length in range(len(match["organ"]), 0, -1):
            concept = lexicon.lookup(match["organ"][-length:] + match["change"])
            if concept is not None and concept.kind == "finding":
                start = match.end("organ") - length
                named = [m for m in named if m.stop <= start or m.start >= match.end()]
                named.append(Mention(concept, start, match.end()))
                break
    return named


def _rejoined(folded: str, sentence: Piece, mention: Mention, lexicon: Lexicon) -> Mention:
    """The finding with the adjective that a size parts from it."""
    match = _SIZE_BETWEEN.search(folded, max(sentence.start, mention.start - 60), mention.start)
    concept = lexicon.lookup(f"{match[1]} {folded[mention.start : mention.stop]}") if match else None
    if match is None or concept is None or concept.kind != "finding" or concept.id == mention.concept.id:
        return mention
    return Mention(concept, match.start(1), mention.stop)


def _shared_words(folded: str, sentence: Piece, named: list[Mention], lexicon: Lexicon) -> list[Mention]:
    result: dict[tuple[int, int, str], Mention] = {}
    replaced: set[tuple[int, int]] = set()
    for mention in named:
        words = folded[mention.start : mention.stop]
        extra = _latin_shared(folded, sentence, mention, words, named, lexicon) if words.isascii() else []
        extra = extra or _chinese_shared(folded, sentence, mention, words, named, lexicon)
        for new, covered in extra:
            result[(new.start, new.stop, new.concept.id)] = new
            replaced.add(covered)
    for mention in named:
        if not any(a <= mention.start and mention.stop <= b for a, b in replaced):
            result.setdefault((mention.start, mention.stop, mention.concept.id), mention)
    return list(result.values())


def _longer_name(named: Sequence[Mention], start: int, stop: int) -> bool:
    """Whether the words begin a name of their own: "intracranial hemorrhage, mass effect"."""
    return any(mention.start == start and mention.stop > stop for mention in named)


def _latin_shared(
    folded: str, sentence: Piece, mention: Mention, words: str, named: Sequence[Mention], lexicon: Lexicon
) -> list[tuple[Mention, tuple[int, int]]]:
    parts = words.replace("-", " ").split()
    found: list[tuple[Mention, tuple[int, int]]] = []
    if len(parts) < 2:
        return found
    organs = [parts[0]]
    position = first = mention.start
    for _ in range(4):
        match = _CONJUNCTION_BEFORE.search(folded[max(sentence.start, position - 40) : position])
        if match is None:
            break
        start = max(sentence.start, position - 40) + match.start()
        if "," in match.group() and _IN_ORGAN.search(folded, max(sentence.start, start - 20), start):
            break  # "In the left kidney, nodular lesion areas": a place, then a name
        for cut in range(1, len(parts)):
            concept = lexicon.lookup(" ".join([match[1], *parts[cut:]]))
            if concept is not None and concept.kind == "finding" and concept.id != mention.concept.id:
                # "pericardial and left pleural effusion": the side is that of the second only
                stop = start + len(match[1]) if match["own"] else mention.stop
                found.append((Mention(concept, start, stop), (start, start + len(match[1]))))
                break
        else:
            break
        organs.append(match[1])
        position = first = start
    position = mention.stop
    for _ in range(4):
        match = _CONJUNCTION_AFTER.match(folded[position : min(sentence.stop, position + 40)])
        if match is None or _longer_name(named, position + match.start(1), position + match.end(1)):
            break
        if "," in match.group() and _IN_AN_ORGAN.match(folded, position + match.end()):
            break  # "mediastinal lymphadenopathy, mass in the left adrenal gland"
        stop = position + match.end()
        for cut in range(len(parts) - 1, 0, -1):
            change = "thickening" if "thick" in match[1] else match[1]
            concept = lexicon.lookup(" ".join([*parts[:cut], change]))
            if concept is not None and concept.kind == "finding" and concept.id != mention.concept.id:
                found.append((Mention(concept, mention.start, stop), (position + match.start(1), stop)))
                # "pericardial, pleural effusion-thickening" denies four things
                for organ in organs[1:]:
                    other = lexicon.lookup(f"{organ} {change}")
                    if other is not None and other.kind == "finding":
                        found.append((Mention(other, first, stop), (position + match.start(1), stop)))
                break
        else:
            break
        position = stop
    return found


def _chinese_shared(
    folded: str, sentence: Piece, mention: Mention, words: str, named: Sequence[Mention], lexicon: Lexicon
) -> list[tuple[Mention, tuple[int, int]]]:
    found: list[tuple[Mention, tuple[int, int]]] = []
    begin = max(sentence.start, mention.start - 8)
    before = _ZH_BEFORE.search(folded[begin : mention.start])
    if before and not any(m.start < begin + before.end(1) <= m.stop for m in named):
        for length in range(1, len(before[1]) + 1):
            organ = before[1][-length:]
            for cut in range(1, len(words)):
                concept = lexicon.lookup(organ + words[cut:])
                if concept is not None and concept.kind == "finding" and concept.id != mention.concept.id:
                    start = begin + before.end(1) - length
                    # "心包及双侧胸腔积液": the side is that of the second only
                    stop = start + length if before["own"] else mention.stop
                    return [(Mention(concept, start, stop), (start, start + length))]
    after = _ZH_AFTER.match(folded[mention.stop : min(sentence.stop, mention.stop + 6)])
    if after:
        for length in range(2, len(after[1]) + 1):
            for cut in range(len(words) - 1, 0, -1):
                concept = lexicon.lookup(words[:cut] + after[1][:length])
                if concept is not None and concept.kind == "finding" and concept.id != mention.concept.id:
                    begin = mention.stop + after.start(1)
                    return [(Mention(concept, mention.start, begin + length), (begin, begin + length))]
    return found


def _spread(
    folded: str, sentence: Piece, named: list[Mention], matches: Sequence[Match], lexicon: Lexicon
) -> list[Mention]:
    """Adds changes that stand apart from their organ ("lymph nodes are not enlarged", "increase in wall thickness")."""
    organs = [m for m in matches if m.concept.kind == "anatomy"]
    result = list(named)
    for change in _CHANGE.finditer(folded, sentence.start, sentence.stop):
        if any(m.start < change.end() and change.start() < m.stop for m in result):
            continue
        kind = change.lastgroup or ""
        measure = _MEASURE_OF.search(folded, max(sentence.start, change.start() - 100), change.start())
        if kind == "grown" and (measure is None or any(measure.start() <= m.start < change.start() for m in result)):
            continue  # what has grown is a finding, not an organ
        wide = kind == "wider" or (kind == "grown" and measure is not None and measure["width"])
        fitting = any(
            lexicon.specialise(lexicon.get("dilatation"), organ.concept).id != "dilatation" for organ in organs
        )
        if kind == "grown" and measure is not None and measure["thick"]:
            concept: Concept | None = lexicon.get("wall_thickening")
        elif not fitting and ((kind == "grown" and wide) or change.group().endswith("normal")):
            concept = _enlarged(folded, change, organs, False, lexicon)  # "spleen diameter 140 mm and increased"
        elif kind.startswith("general") or wide:
            if wide and not fitting:
                continue  # what grows wider must be something that can dilate
            concept = lexicon.get("dilatation" if wide else _GENERAL[int(kind.removeprefix("general"))][0])
        else:
            concept = _enlarged(folded, change, organs, kind == "pathological", lexicon)
        if concept is not None:
            result.append(Mention(concept, change.start(), change.end()))
    return result


def _enlarged(
    folded: str, change: re.Match[str], organs: Sequence[Match], pathological: bool, lexicon: Lexicon
) -> Concept | None:
    """What an enlarged organ is called; of pathological size, only lymph nodes are. None where it has no name."""
    following = re.match(r" (?:of|in) (?:the |both )?", folded[change.end() : change.end() + 12])
    if following and not pathological:
        organs = [m for m in organs if m.span.start == change.end() + following.end()] or organs
    near = sorted(organs, key=lambda m: min(abs(m.span.start - change.end()), abs(change.start() - m.span.stop)))
    for organ in near[:6]:
        if pathological and not lexicon.is_a(organ.concept, "lymph_node"):
            continue
        first, last = sorted(((organ.span.start, organ.span.stop), change.span()))
        between = folded[first[1] : last[0]].removeprefix(":")  # "Spleen: enlarged"
        if len(between) > (110 if pathological else 40) or re.search(r"[;:.]|\bbut\b|,(?! )", between):
            continue
        if re.search(r"\bwith\b", between) and not (pathological and re.fullmatch(r"s?\swith\s(?:an?\s)?", between)):
            continue
        concept = enlarged_name(organ.concept, lexicon)
        if concept is not None:
            return concept
    return None
