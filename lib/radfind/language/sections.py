"""Sections of a report: clinical information, technique, comparison, findings, impression; English and Chinese."""

from __future__ import annotations

import dataclasses
import re

from radfind.language.text import Piece

# A heading and the section it opens. A comparison tells of earlier examinations, as the history does.
HEADINGS: dict[str, tuple[str, ...]] = {
    "history": (
        *("clinical information", "clinicalinformation", "clinical history", "clinical indication", "clinical details"),
        *("clinical data", "clinical question", "clinical", "history", "indication", "indications", "reason for exam"),
        *("reason for examination", "reason for study", "anamnesis", "comparison", "comparisons", "prior studies"),
        *("临床信息", "临床资料", "临床病史", "临床诊断", "临床表现", "简要病史", "病史", "主诉", "检查目的", "临床"),
        *("对比", "对照", "比较", "既往检查"),
    ),
    "technique": (
        *("technique", "techniques", "scan technique", "protocol", "procedure", "method", "methods", "examination"),
        *("exam", "study", "检查方法", "扫描方法", "检查技术", "扫描技术", "成像技术", "技术", "方法", "检查部位"),
        *("检查项目", "检查名称", "扫描范围"),
    ),
    "findings": (
        *("findings", "finding", "report", "description", "results", "result", "observations", "imaging findings"),
        *("ct findings", "检查所见", "影像所见", "影像学所见", "ct所见", "mr所见", "mri所见", "x线所见", "影像表现"),
        *("影像学表现", "放射学表现", "影像描述", "检查表现", "诊断所见", "描述", "所见", "表现"),
    ),
    "impression": (
        *("impression", "impressions", "conclusion", "conclusions", "summary", "opinion", "diagnosis", "assessment"),
        *("diagnostic impression", "radiological diagnosis", "final diagnosis", "诊断意见", "影像诊断", "影像学诊断"),
        *("影像印象", "影像学印象", "诊断印象", "诊断结论", "检查意见", "检查结论", "放射学诊断", "ct诊断", "mr诊断"),
        *("x线诊断", "初步诊断", "结论", "意见", "印象", "诊断", "提示", "小结"),
    ),
}

# What a report is compared with is told in one sentence; in reports written in one block the findings follow it.
_COMPARED = ("comparison", "comparisons", "prior studies", "对比", "对照", "比较", "既往检查")
_STATEMENT_END = re.compile(r"\.(?=\s)|[。;\n]")

_SECTION_OF = {name: section for section, names in HEADINGS.items() for name in names}
_NAMES = "|".join(sorted(map(re.escape, _SECTION_OF), key=len, reverse=True))
# With a colon (or in brackets) a heading may follow a finished sentence; without, it needs a line of its own.
_HEADING = re.compile(
    rf"(?:\A|(?<=[\n.。;!?])) *(?:[0-9一二三四五六][.、)] *)?"
    rf"(?:(?P<marked>{_NAMES})(?:_en|_zh)? ?(?::|- (?=\S)|:-)|\[ ?(?P<bracketed>{_NAMES}) ?\] ?:?"
    rf"|(?P<line>{_NAMES}) *(?=\n))"
)


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of a report: its name ("history", "technique", "findings", "impression", None before any heading)."""

    name: str | None
    piece: Piece


def split_sections(folded: str) -> list[Section]:
    """Sections of a folded text, in reading order, headings left out; a phrase is one section without a name."""
    sections: list[Section] = []
    name: str | None = None
    begin = 0
    for match in _HEADING.finditer(folded):
        if match.start() > begin:
            sections.append(Section(name, Piece(begin, match.start())))
        heading = match["marked"] or match["bracketed"] or match["line"]
        name, begin = _SECTION_OF[heading], match.end()
        if heading in _COMPARED and (end := _STATEMENT_END.search(folded, begin)):
            sections.append(Section(name, Piece(begin, end.start())))
            name, begin = None, end.end()
    if begin < len(folded):
        sections.append(Section(name, Piece(begin, len(folded))))
    return sections
