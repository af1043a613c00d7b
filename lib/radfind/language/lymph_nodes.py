"""Lymph nodes: told to be enlarged in a list of stations, or by their size alone."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Sequence

from radfind.language.concepts import Concept
from radfind.language.lexicon import Lexicon, Match
from radfind.language.sizes import Size
from radfind.language.text import Piece


@dataclasses.dataclass(frozen=True)
class Mention:
    """A finding named in a text: its concept and its characters."""

    concept: Concept
    start: int
    stop: int


# "no enlarged mediastinal, right hilar or axillary lymph nodes"
_STATION = r"(?:(?:right|left|bilateral)\s)?(?!and\b|or\b)[a-z]+"
_LISTED_NODES = re.compile(
    r"(?:enlarged|pathological(?:ly enlarged)?|abnormal)\s"
    rf"(?P<list>{_STATION}(?:(?:,\s?(?:and |or )?|\s(?:and|or)\s|/){_STATION}){{1,6}})"
    r"\s(?:lymph\s?)?nodes?(?![a-z])"
)


def with_listed_nodes(folded: str, sentence: Piece, named: list[Mention], lexicon: Lexicon) -> list[Mention]:
    """The findings a sentence names, lists of enlarged nodes replaced by one finding for each station."""
    for match in _LISTED_NODES.finditer(folded, sentence.start, sentence.stop):
        words = list(re.finditer(_STATION, folded[match.start("list") : match.end("list")]))
        stations = [
            Mention(concept, match.start("list") + word.start(), match.start("list") + word.end())
            for word in words
            if (concept := lexicon.lookup(f"enlarged {word.group().split()[-1]} lymph node")) is not None
        ]
        if stations:
            named = [m for m in named if not (match.start() <= m.start and m.stop <= match.end())]
            stations[0] = dataclasses.replace(stations[0], start=match.start())
            stations[-1] = dataclasses.replace(stations[-1], stop=match.end())
            named += stations
    return named


# A lymph node of less than 10 mm in its short axis is normal (RECIST 1.1, Eisenhauer et al., Eur J Cancer 2009).
_NORMAL_NODE_MM = 10.0
_SIZED = re.compile(r"[\s-]{0,2}(?:[a-z-]+\s){0,3}")  # "a 16 mm enlarged subcarinal node"


def measured_nodes(
    folded: str, matches: Sequence[Match], sizes: Sequence[Size], lexicon: Lexicon, named: Sequence[Mention] = ()
) -> list[Mention]:
    """Lymph nodes that only their size tells to be enlarged: "lymph nodes, the largest 17 mm", "a 16 mm hilar node".

    Arguments:
        folded: text after `radfind.language.text.fold`.
        matches: the lexicon's matches in a sentence.
        sizes: its sizes.
        lexicon: where the matches come from.
        named: the findings it names; with any, a size must follow the nodes more closely than them.
    """
    enlarged = [
        size
        for size in sizes
        if size.role == "lesion"
        and (min(size.mm) >= _NORMAL_NODE_MM if size.mm else size.range_mm and size.range_mm[1] > _NORMAL_NODE_MM)
    ]
    nodes = [m for m in matches if m.concept.kind == "anatomy" and lexicon.is_a(m.concept, "lymph_node")]
    own = [n for n in nodes if any(_sized(folded, n, size, named) for size in enlarged)]
    if named:
        nodes = [n for n in nodes if n in own or any(_follows_nodes(n, size, named, lexicon) for size in enlarged)]
    if not enlarged or not nodes:
        return []
    return [
        Mention(enlarged_name(node.concept, lexicon) or lexicon.get("lymphadenopathy"), node.span.start, node.span.stop)
        for node in (nodes if named else own or nodes[:1])
    ]


def _sized(folded: str, node: Match, size: Size, named: Sequence[Mention]) -> bool:
    if any(size.stop < mention.stop and mention.start < node.span.stop for mention in named):
        return False  # "a 16 mm enlarged hilar node" has a name
    return bool(_SIZED.fullmatch(folded, size.stop, node.span.start))


def _follows_nodes(node: Match, size: Size, named: Sequence[Mention], lexicon: Lexicon) -> bool:
    for mention in named:
        beyond = 25 if lexicon.is_a(mention.concept, "lymphadenopathy") else 0
        if mention.start <= node.span.start < mention.stop + beyond:
            return False  # part of a name, or of "enlarged subcarinal node"
    between = any(node.span.stop <= mention.start < size.start for mention in named)
    return 0 <= size.start - node.span.stop < 60 and not between


@functools.lru_cache(maxsize=4096)
def enlarged_name(organ: Concept, lexicon: Lexicon) -> Concept | None:
    """The finding that an enlarged organ is ("enlarged spleen": splenomegaly), or None where it has no name."""
    for place in lexicon.ancestry(organ):
        for name in (place.english, place.chinese, *place.terms):
            forms = (
                (f"enlarged {name}", f"{name} enlargement")
                if name.isascii()
                else (name + "肿大", name + "增大", name + "增粗")
            )
            for form in forms:
                concept = lexicon.lookup(form)
                if concept is not None and concept.kind == "finding":
                    return concept
    return None
