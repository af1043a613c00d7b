"""Present, absent or uncertain: which words deny or hedge a claim, and how far their effect reaches.

In the manner of NegEx (Chapman et al., J Biomed Inform 2001) and ConText (Harkema et al., 2009): cue phrases act
forwards or backwards inside one clause until a terminating word; phrases that only look like a denial
("no change in") are recognised first and act on nothing.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Literal

from radfind.language.findings import Presence
from radfind.language.text import Piece

CueKind = Literal[
    "neutral", "deny_after", "deny_before", "deny_either", "hedge_after", "hedge_before", "hedge_either",
    "stop", "normal", "past", "other",
]  # fmt: skip

_SEEN = (
    r"(?:observed|detected|seen|found|identified|noted|noticed|visuali[sz]ed|demonstrated|demonstrable|evident|present|appreciated|shown"
    r"|recogni[sz]ed|encountered|monitored|followed|traced|depicted|distinguished|discernible|visible|apparent|reported|selected|documented)"
)
_AUX = r"(?:(?:is|are|was|were|has|have|had|be|been|could|can|did|does|do|will|would)\s+)"
_LY = r"(?:(?:clearly|definitely|definitively|significantly|currently|specifically|obviously|completely|fully|entirely|reliably|further|also|longer|any|been|be)\s+)"
_CHANGE = (
    r"(?:change|changes|increase|decrease|progression|regression|difference|growth|enlargement|interval change|alteration|interval growth"
    r"|reduction|improvement|deterioration|worsening|progress)"
)

# In order of priority: the first that matches at a place wins there.
_CUES: tuple[tuple[CueKind, str], ...] = (
    # looks like a denial, denies nothing
    (
        "neutral",
        rf"(?:no|without(?: any)?|not show(?:n)?(?: any)?)\s+(?:significant\s+|obvious\s+|marked\s+|definite\s+|clear\s+|interval\s+|major\s+|appreciable\s+|dimensional\s+){{0,3}}"
        rf"{_CHANGE}(?:\s*[-/]\s*{_CHANGE}|\s+or\s+{_CHANGE})?(?:\s+(?:{_AUX}{{1,2}}{_LY}{{0,2}}{_SEEN}\s+)?(?=in\b|of\b|compared|since|from|$))"
        rf"|not only|no doubt|not necessarily|whether or not|not previously (?:seen|present|observed|described|noted)|not (?:seen|present|observed|available|found) (?:in|on|at) (?:the )?(?:previous|prior|old|last)",
    ),
    (
        "neutral",
        r"\bno\.?\s?(?=\d)|no (?=contrast)|without (?:(?:iv|intravenous|the use of|giving|administration of|using) )*(?=contrast)",
    ),
    (
        "neutral",
        r"有无|是否|无症状|无名|无创|无力|无痛|无水|无法|无变化|无明显变化|无显著变化|无明显改变|无著变|未见(?:明显|显著)?(?:变化|改变|著变)|较前(?:片|次)?(?:大致)?(?:相仿|无[^,。;]{0,4}变)|变化不(?:大|明显|著)"
        r"|未行增强|未增强|无增强|未注射",
    ),
    # hedges
    (
        "hedge_before",
        rf"{_AUX}?(?:cannot|can't|can not|could not|couldn't|not|{_AUX}not)\s+(?:be\s+|been\s+)?{_LY}{{0,2}}(?:be\s+)?(?:excluded|ruled out|rule out|dismissed|denied)"
        r"(?!\s+(?:a|an|the)\b)",
    ),
    (
        "hedge_after",
        rf"(?:cannot|can't|can not|could not|couldn't|{_AUX}not|not|unable to|difficult to|impossible to)\s+{_LY}{{0,2}}(?:be\s+)?(?:exclude|rule out|excluding|differentiate from|differentiated from|distinguish from|distinguished from)",
    ),
    (
        "hedge_after",
        r"(?:to |please |in order to )?(?:rule out|r/o|\bexclude\b|for (?:the )?exclusion of)|differential diagnos[ie]s (?:includes?|of|with|:)|ddx?\b:?"
        r"|versus|\bvs\b|possibility of|possibilities of|suspicio(?:us|n) (?:for|of|in terms of|in favou?r of)|in terms of(?= (?!dimension))|concern(?:ing)? for|worrisome for|question(?:able)?(?: of)?|query"
        r"|may (?:\w+ly )?(?:represent|be|correspond|reflect|indicate|suggest|belong|include|have been)|might (?:represent|be|correspond|reflect|indicate)|could (?:\w+ly )?(?:represent|be|correspond|reflect|indicate)(?! (?:evaluated|assessed|seen|observed|made|clearly|optimally))"
        r"|(?:evaluated |considered |interpreted |assessed |thought )?(?:\w+ly )?(?:in|to be in|as being in) favou?r of|compatible with|consistent with|suggest(?:s|ive|ing|ed)?(?: of)?|indicative of|in keeping with|favou?rs|favou?ring|thought to be|considered (?:as|to be)"
        r"|appears? to be|seems? to be|reminiscent of|(?:was |were |is |are )?interpreted as|(?:was |were |is |are )?evaluated as(?! (?:normal|natural|suboptimal|stable))|representing|likely (?:to represent|represents?|due to)|presumed|presumably|potentially"
        r"|possibl[ey]|probabl[ey]|(?:most |very |highly )?likely|suspicious|suspected|equivocal|perhaps|maybe|borderline|impression of|belonging to(?! the)",
    ),
    (
        "hedge_before",
        rf"(?:{_AUX}{{1,2}})(?:\w+ly )?(?:suspected|possible|likely|probable|considered(?! (?:as|to be|in favou?r))|questionable|equivocal|suggested|to be excluded|in the differential|included in the differential|among the differential)"
        r"|(?:should|must|may|might|can|could|need to|needs to)\s+(?:also\s+|\w+ly\s+)?be\s+(?:\w+ly\s+)?(?:considered|excluded|suspected|ruled out|kept in mind|included)"
        r"|(?:suspected|considered) in the (?:first|differential)|comes? to mind|(?:could|can) ?not be (?:\w+ly )?(?:evaluated|assessed|characteri[sz]ed|determined)"
        r"|remains? (?:a )?(?:possible|possibility)|is a possibility|in (?:the|its|their) differential(?: diagnosis)?",
    ),
    (
        "hedge_either",
        r"不(?:能)?(?:完全)?(?:除外|排除)|不(?:能)?完全除外|(?:有待|需|待|请|建议)(?:进一步)?(?:除外|排除)|待(?:除外|排)|待排|(?:可能|不定)(?:性)?(?:大|较大)?|可疑|疑似|疑(?:为|有|诊)?|拟诊?|首先?考虑|多考虑|考虑(?:为)?|倾向(?:于|为)?|"
        r"提示|符合|似(?:有|见|呈|为)|或(?:为|系)|警惕|不典型|鉴别|怀疑|可能(?:为|是|系)",
    ),
    # "pneumonia?"
    ("hedge_before", r"(?<=.)\?"),
    # denials
    (
        "deny_either",
        rf"{_AUX}{{0,2}}no longer\s+(?:{_LY}{{0,2}}{_SEEN}|there|visible)|(?:(?:has|have|had)\s+)?(?:been\s+)?(?:completely |fully |totally |entirely |now |almost )?(?:resolved|disappeared|vanished)|resolution of",
    ),
    (
        "deny_before",
        rf"(?:{_AUX}{{0,3}}(?:not|never)|{_AUX}?(?:cannot|can't|isn't|aren't|wasn't|weren't|couldn't|hasn't|haven't|not))\s+{_LY}{{0,3}}{_SEEN}(?!\s+(?:any|a|an)\b)(?:,? or {_SEEN})?"
        rf"|{_AUX}{{1,2}}(?:\w+ly )?(?:absent|excluded|ruled out|negative|lacking|unlikely)|:\s?(?:none|no|negative|absent|nil)\b|(?<=,) ?(?:none|absent|nil)\b",
    ),
    (
        "deny_after",
        rf"no (?:\w+ )?(?:evidence|signs?|findings?|suspicion|indications?|features?|images?|appearances?|stigmata|trace|demonstration) (?:of|for|suggesting|suggestive of|indicating|indicative of|compatible with|consistent with|in favou?r of|in terms of|that may suggest|to suggest|was|were)?"
        rf"|without (?:any )?(?:\w+ )?(?:evidence|signs?|findings?) (?:of|for)|without|free (?:of|from)|clear of|negative for|unremarkable for|absence of|lack of|lacks|lacking|den(?:y|ies|ied)|neither|\bnor\b|\bno\b|devoid of"
        rf"|(?:does|did|do|has|have|had|is|are|was|were)(?:n't| not) {_LY}{{0,2}}(?:show|shown|reveal|revealed|demonstrate|demonstrated|contain|have|display|exhibit|cause|indicate|associated with|accompanied by|{_SEEN} (?=any|a |an ))"
        rf"|not (?:associated with|accompanied by|showing|demonstrating|containing)|fail(?:s|ed)? to (?:show|reveal|demonstrate|identify|detect)|excludes|rather than|never had|ruled out(?= \w)|\bnot (?=an?\b)|absent(?= \w)",
    ),
    (
        "deny_either",
        r"未(?:能)?(?:见|发现|显示|示|探及|及|检出|观察到|提示|触及|查见|伴有?|再见|再显示|明确见)(?:到|有|及|确切|明确|明显|显著|异常(?=[\u4e00-\u9fff])|确切的|明确的|明显的|典型|肯定|著明){0,2}"
        r"|没有(?:明显|明确|发现|见到|看到)?|不伴(?:有)?|无(?:明显|明确|显著|确切|异常(?=[\u4e00-\u9fff])){0,2}|否认|并无|均无|阴性|不明显|(?:已|基本|完全|大部)?(?:消失|吸收消散)|已(?:完全)?吸收|缺如|排除|不存在|除外",
    ),
    # words that end the reach of a cue
    (
        "stop",
        r"\bbut\b|however|although|though|except(?: for)?|apart from|aside from|other than|besides|whereas|\bwhile\b|\byet\b|nevertheless|nonetheless|due to|because of|secondary to|owing to|caused by"
        r"|in addition to|\bwhich\b|as well as (?=an?\b)|only\b|[;:]|但|而|然而|除了?(?!外)|仅|由于|伴(?=有|见|随)|余(?=[\u4e00-\u9fff])",
    ),
    (
        "normal",
        r"(?:is|are|was|were|appears?|remains?|has|have)\s+(?:of\s+|in\s+|within\s+|a\s+|the\s+|completely\s+|all\s+|within the\s+)*(?:normal|natural|unremarkable|open|patent|preserved|intact|symmetrical?|clear)\b|within (?:the )?normal|正常|通畅|未见(?:明显|明确)?异常|无(?:明显)?异常|光整|居中|对称",
    ),
    (
        "past",
        r"(?:past |previous |known )?(?:medical |surgical )?history (?:of|for)|h/o|s/p|status post|operated (?:for|due to|on)|treated (?:for|due to)|with a history|(?:with )?known(?= \w)|既往(?:有|患)?|病史|术后(?=复查)",
    ),
    (
        "other",
        r"no (?:other|additional|further|another)|without (?:other|additional|further)|未见(?:其他|其它|另外)|无(?:其他|其它)",
    ),
)
# "no other ..." must be seen before plain "no".
_ORDER = sorted(range(len(_CUES)), key=lambda index: (_CUES[index][0] != "other", index))
_CUE = re.compile("|".join(f"(?P<k{i}>(?:(?<![a-z])|(?=\\?))(?:{_CUES[i][1]}))" for i in _ORDER))

_PREDICATE = re.compile(
    rf"there\s+(?:is|are|was|were|has been|have been)|(?:{_AUX}{{1,3}}|\b)(?:also\s+|not\s+|{_LY})*{_SEEN}(?=[\s,.;]|\Z)"
    r"|\b(?:shows?|demonstrates?|reveals?|continues?|persists?|accompan(?:y|ies)|draws?)\b"
    r"|(?:is|are|was|were)\s+(?:of\s+|within\s+)?(?:normal|natural|open|patent|preserved|intact|unremarkable|clear)"
)
_JOINT = re.compile(r",\s*(?:and|but|while|whereas)?|;|\b(?:and|while|whereas|but)\b")


@dataclasses.dataclass(frozen=True)
class Cue:
    """A phrase that changes what a clause claims."""

    start: int
    stop: int
    kind: CueKind


def find_cues(folded: str, start: int, stop: int) -> list[Cue]:
    """Cue phrases in ``folded[start:stop]``, in reading order, not overlapping."""
    cues = []
    for match in _CUE.finditer(folded, start, stop):
        name = match.lastgroup
        assert name is not None
        if match.end() > match.start():
            cues.append(Cue(match.start(), match.end(), _CUES[int(name[1:])][0]))
    return cues


def clauses(folded: str, sentence: Piece, named: Sequence[Piece], chinese: bool) -> list[Piece]:
    """Cuts a sentence into the clauses inside which cues act.

    Chinese is cut at each comma (lists use 、). English is cut between two predicates ("a nodule is seen | and
    effusion was not detected"), at the first joint after which something is named.

    Arguments:
        folded: folded text.
        sentence: the sentence.
        named: where findings are named in it, in order.
        chinese: whether the sentence is mostly Chinese.
    """
    if chinese:
        cuts = [match.start() for match in re.compile("[,;]").finditer(folded, sentence.start, sentence.stop)]
        cuts = [cut for cut in cuts if not _list_comma(folded, cut)]
    else:
        cuts = _english_cuts(folded, sentence, named)
    edges = [sentence.start, *cuts, sentence.stop]
    return [Piece(a, b) for a, b in zip(edges, edges[1:], strict=False) if b > a]


def _list_comma(folded: str, cut: int) -> bool:
    """ "1,2" or "1.5cm,2cm": a comma between numbers does not end a clause."""
    return folded[cut - 1 : cut].isdigit() and folded[cut + 1 : cut + 2].isdigit()


def _english_cuts(folded: str, sentence: Piece, named: Sequence[Piece]) -> list[int]:
    predicates = list(_PREDICATE.finditer(folded, sentence.start, sentence.stop))
    cuts: list[int] = []
    for first, second in zip(predicates, predicates[1:], strict=False):
        joints = [joint for joint in _JOINT.finditer(folded, first.end(), second.start())]
        if not joints:
            continue
        chosen = None
        for index, joint in enumerate(joints):
            end = joints[index + 1].start() if index + 1 < len(joints) else second.end()
            if any(joint.end() <= name.start < end for name in named):
                # after "there is", the first named thing belongs to it
                if any(first.end() <= name.start < joint.start() for name in named) or not first.group().startswith(
                    "there"
                ):
                    chosen = joint
                    break
        chosen = chosen or joints[-1]
        cuts.append(chosen.start())
    return cuts


def presence_of(
    folded: str, clause: Piece, start: int, stop: int, cues: Sequence[Cue], named: Sequence[Piece]
) -> tuple[Presence, set[CueKind]]:
    """What the clause claims about the words in [start, stop).

    Arguments:
        folded: folded text.
        clause: the clause the words are in.
        start, stop: the words that name the finding.
        cues: cues of the sentence.
        named: everything named in the clause (for cues that reach either way).

    Returns:
        presence, and the kinds of cue that act on it.
    """
    acting: set[CueKind] = set()
    inside = [cue for cue in cues if clause.start <= cue.start and cue.stop <= clause.stop]
    stops = [cue for cue in inside if cue.kind == "stop"]
    for cue in inside:
        if cue.stop <= start:
            forward = cue.kind in ("deny_after", "hedge_after", "past", "other") or (
                cue.kind in ("deny_either", "hedge_either") and _points_forward(cue, clause, named)
            )
            blocked = any(cue.stop <= mark.start and mark.stop <= start for mark in stops)
            if forward and not blocked and not _list_broken(folded, cue, start):
                acting.add(cue.kind)
        elif cue.start >= stop:
            backward = cue.kind in ("deny_before", "hedge_before", "normal") or (
                cue.kind in ("deny_either", "hedge_either") and not _points_forward(cue, clause, named)
            )
            blocked = any(stop <= mark.start and mark.stop <= cue.start for mark in stops)
            if backward and not blocked:
                acting.add(cue.kind)
    if acting & {"hedge_before"}:
        return "uncertain", acting
    if acting & {"deny_after", "deny_before", "deny_either", "other"}:
        return "absent", acting
    if acting & {"hedge_after", "hedge_either"}:
        return "uncertain", acting
    return "present", acting


def _points_forward(cue: Cue, clause: Piece, named: Sequence[Piece]) -> bool:
    """A cue that can stand before or after its object points at what follows, if anything named does."""
    return any(cue.stop <= name.start < clause.stop for name in named)


_NEW_ITEM = re.compile(
    r",\s*(?:and\s+)?(?:an?\s|mild|minimal|slight|small|moderate|tiny|several|stable|there\b|one\b|two\b|three\b|[0-9]+\s?(?:mm|cm))|\band an?\s"
)


def _list_broken(folded: str, cue: Cue, start: int) -> bool:
    """ "no mass, a small nodule ...": an article or grade after a comma starts something new, unless "or" closes a list."""
    gap = folded[cue.stop : start]
    return bool(_NEW_ITEM.search(gap)) and " or " not in folded[cue.stop : start + 60]
