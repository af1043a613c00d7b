"""Findings whose name is spread over a clause: "pleural or pericardial effusion", "lymph nodes are not enlarged".

Radiologists leave out what two findings share ("pericardial effusion-thickening" names pericardial effusion and
pericardial thickening) and put words between an organ and its change ("胸膜未见增厚"). The full name is put together
here and kept only when the lexicon knows it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from radfind.language.concepts import Concept
from radfind.language.lexicon import Lexicon, Match
from radfind.language.text import Piece


@dataclasses.dataclass(frozen=True)
class Mention:
    """A finding named in a text: its concept, its characters, and the organ words used up by the name."""

    concept: Concept
    start: int
    stop: int
    composed: bool = False


# A change as written -> how the lexicon may word it after (or before) the organ.
_CHANGES: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    (r"enlarged|enlargement|increased in size|increase in size|增大|肿大|增大", ("enlargement",), ("enlarged",)),
    (
        r"(?:pathological |significant |tumou?ral )*wall thickness(?:es)? increase|increase(?:d)? (?:in )?wall thickness|wall thickening|thickening (?:of|in) the wall|壁增厚",
        ("wall thickening", "thickening"),
        ("thickened",),
    ),
    (r"thickened|thickening|thickness increase|increase(?:d)? (?:in )?thickness|增厚", ("thickening", "wall thickening"), ("thickened",)),
    (r"dilated|dilatation|dilation|dilatations|ectatic|ectasia|widened|widening|aneurysmatic|扩张|增宽", ("dilatation", "dilation", "ectasia"), ("dilated",)),
    (r"narrowed|narrowing|stenosis|stenotic|狭窄|变窄", ("stenosis", "narrowing"), ("narrowed",)),
    (r"calcified|calcifications?|calcific|钙化", ("calcification",), ("calcified",)),
    (r"effusions?|fluid|积液", ("effusion", "fluid"), ()),
    (r"fractures?|fractured|骨折", ("fracture",), ("fractured",)),
    (r"cysts?|囊肿", ("cyst",), ()),
    (r"stones?|calcul(?:us|i)|结石", ("stone", "calculus"), ()),
    (r"nodules?|结节", ("nodule",), ()),
    (r"mass(?:es)?|肿块", ("mass",), ()),
    (r"metastas[ei]s|转移", ("metastasis",), ()),
    (r"collapsed|collapse|塌陷", ("collapse",), ("collapsed",)),
)  # fmt: skip
_ZH_OF = {
    "enlargement": ("肿大", "增大"),
    "wall thickening": ("壁增厚",),
    "thickening": ("增厚",),
    "dilatation": ("扩张", "增宽"),
    "stenosis": ("狭窄",),
    "calcification": ("钙化",),
    "effusion": ("积液",),
    "fracture": ("骨折",),
    "cyst": ("囊肿",),
    "stone": ("结石",),
    "nodule": ("结节",),
    "mass": ("肿块",),
    "metastasis": ("转移", "转移瘤"),
}
_CHANGE = re.compile(
    "|".join(f"(?P<c{index}>(?<![a-z])(?:{pattern})(?![a-z]))" for index, (pattern, _, _) in enumerate(_CHANGES))
)
_CONJUNCTION_BEFORE = re.compile(r"([a-z]{3,})\s*(?:,\s*(?:and|or)?|/|-|\band/or\b|\band\b|\bor\b)\s*\Z")
_CONJUNCTION_AFTER = re.compile(
    r"\s*(?:,\s*(?:and|or)?\s|/|-|\s-\s|and/or\s|and\s|or\s)\s*(?:no\s)?([a-z]{3,})(?![a-z])"
)
_ZH_BEFORE = re.compile(r"([\u4e00-\u9fff]{1,4})(?:、|及|和|与|或|/|-|,)\Z")
_ZH_AFTER = re.compile(r"(?:、|及|和|与|或|/|-)([\u4e00-\u9fff]{2,4})")


def mentions(folded: str, sentence: Piece, matches: Sequence[Match], lexicon: Lexicon) -> list[Mention]:
    """The findings a sentence names, in reading order, incomplete names completed.

    Arguments:
        folded: text after `radfind.language.text.fold`.
        sentence: its range.
        matches: the lexicon's matches in it.
        lexicon: where they come from.
    """
    named = [Mention(m.concept, m.span.start, m.span.stop) for m in matches if m.concept.kind == "finding"]
    named = _shared_words(folded, sentence, named, lexicon)
    return sorted(_spread(folded, sentence, named, matches, lexicon), key=lambda mention: (mention.start, mention.stop))


def _shared_words(folded: str, sentence: Piece, named: list[Mention], lexicon: Lexicon) -> list[Mention]:
    result: dict[tuple[int, int, str], Mention] = {}
    replaced: set[tuple[int, int]] = set()
    for mention in named:
        words = folded[mention.start : mention.stop]
        extra = _latin_shared(folded, sentence, mention, words, lexicon) if words.isascii() else []
        extra = extra or _chinese_shared(folded, sentence, mention, words, lexicon)
        for new, covered in extra:
            result[(new.start, new.stop, new.concept.id)] = new
            replaced.add(covered)
    for mention in named:
        if not any(a <= mention.start and mention.stop <= b for a, b in replaced):
            result.setdefault((mention.start, mention.stop, mention.concept.id), mention)
    return list(result.values())


def _latin_shared(
    folded: str, sentence: Piece, mention: Mention, words: str, lexicon: Lexicon
) -> list[tuple[Mention, tuple[int, int]]]:
    parts = words.replace("-", " ").split()
    found: list[tuple[Mention, tuple[int, int]]] = []
    if len(parts) < 2:
        return found
    position = mention.start
    for _ in range(4):
        match = _CONJUNCTION_BEFORE.search(folded[max(sentence.start, position - 30) : position])
        if match is None:
            break
        start = max(sentence.start, position - 30) + match.start()
        for cut in range(1, len(parts)):
            concept = lexicon.lookup(" ".join([match[1], *parts[cut:]]))
            if concept is not None and concept.kind == "finding" and concept.id != mention.concept.id:
                found.append((Mention(concept, start, mention.stop, True), (start, start + len(match[1]))))
                break
        else:
            break
        position = start
    position = mention.stop
    for _ in range(4):
        match = _CONJUNCTION_AFTER.match(folded[position : min(sentence.stop, position + 40)])
        if match is None:
            break
        stop = position + match.end()
        for cut in range(len(parts) - 1, 0, -1):
            concept = lexicon.lookup(" ".join([*parts[:cut], match[1]]))
            if concept is not None and concept.kind == "finding" and concept.id != mention.concept.id:
                found.append((Mention(concept, mention.start, stop, True), (position + match.start(1), stop)))
                break
        else:
            break
        position = stop
    return found


def _chinese_shared(
    folded: str, sentence: Piece, mention: Mention, words: str, lexicon: Lexicon
) -> list[tuple[Mention, tuple[int, int]]]:
    found: list[tuple[Mention, tuple[int, int]]] = []
    begin = max(sentence.start, mention.start - 6)
    before = _ZH_BEFORE.search(folded[begin : mention.start])
    if before:
        for length in range(1, len(before[1]) + 1):
            organ = before[1][-length:]
            for cut in range(1, len(words)):
                concept = lexicon.lookup(organ + words[cut:])
                if concept is not None and concept.kind == "finding" and concept.id != mention.concept.id:
                    start = begin + before.end(1) - length
                    return [(Mention(concept, start, mention.stop, True), (start, start + length))]
    after = _ZH_AFTER.match(folded[mention.stop : min(sentence.stop, mention.stop + 6)])
    if after:
        for length in range(2, len(after[1]) + 1):
            for cut in range(len(words) - 1, 0, -1):
                concept = lexicon.lookup(words[:cut] + after[1][:length])
                if concept is not None and concept.kind == "finding" and concept.id != mention.concept.id:
                    begin = mention.stop + after.start(1)
                    return [(Mention(concept, mention.start, begin + length, True), (begin, begin + length))]
    return found


def _spread(
    folded: str, sentence: Piece, named: list[Mention], matches: Sequence[Match], lexicon: Lexicon
) -> list[Mention]:
    """Completes organ ... change ("lymph nodes are not enlarged"); a change the lexicon knows as a finding in its
    own right ("effusion") is replaced by the organ's own when there is one."""
    organs = [m for m in matches if m.concept.kind == "anatomy"]
    result = list(named)
    if not organs:
        return result
    for change in _CHANGE.finditer(folded, sentence.start, sentence.stop):
        holder = next((m for m in result if m.start <= change.start() and change.end() <= m.stop), None)
        if holder is not None and (holder.composed or (holder.start, holder.stop) != change.span()):
            continue
        index = int((change.lastgroup or "c0")[1:])
        special = _composed(folded, change, _CHANGES[index], organs, lexicon)
        if special:
            if holder is not None:
                result.remove(holder)
            result += special
    return result


def _composed(
    folded: str,
    change: re.Match[str],
    wording: tuple[str, tuple[str, ...], tuple[str, ...]],
    organs: Sequence[Match],
    lexicon: Lexicon,
) -> list[Mention]:
    found: list[Mention] = []
    near = sorted(organs, key=lambda m: min(abs(m.span.start - change.end()), abs(change.start() - m.span.stop)))
    for organ in near[:6]:
        first, last = sorted(((organ.span.start, organ.span.stop), change.span()))
        between = folded[first[1] : last[0]]
        if len(between) > 60 or re.search(r"[;:.]|\bbut\b|\bwith\b", between):
            continue
        concept = _known(organ.concept, wording, lexicon)
        if concept is not None and all(concept.id != other.concept.id for other in found):
            found.append(Mention(concept, change.start(), change.end(), True))
    return found


def _known(organ: Concept, wording: tuple[str, tuple[str, ...], tuple[str, ...]], lexicon: Lexicon) -> Concept | None:
    _, nouns, adjectives = wording
    for place in lexicon.ancestry(organ):
        names = (place.english, place.chinese, *place.terms)
        tries = [f"{name} {noun}" for name in names if name.isascii() for noun in nouns]
        tries += [f"{adjective} {name}" for name in names if name.isascii() for adjective in adjectives]
        tries += [name + zh for name in names if not name.isascii() for noun in nouns for zh in _ZH_OF.get(noun, ())]
        for name in tries:
            concept = lexicon.lookup(name)
            if concept is not None and concept.kind == "finding":
                return concept
    return None
