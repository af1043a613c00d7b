"""What a text asserts, one canonical English sentence each, for models that were trained on English.

Chinese (and any wording the report reader knows) is put into English through the lexicon's coded concepts,
never by machine-made guesses; the words as given are kept beside it.
"""

from __future__ import annotations

import dataclasses

from radfind.language.findings import Finding, Reading, Span
from radfind.language.normal import is_chinese

_UNCOUNTABLE = ("s", "ema", "megaly", "ation", "calculi", "gas", "fat", "air", "fluid")
"""Endings of the terms that take no article: "emphysema", "atelectasis", "consolidation", "ascites" ..."""


@dataclasses.dataclass(frozen=True)
class Statement:
    """One claim to be judged.

    Arguments:
        span: the words as given.
        english: the claim that the thing is present, e.g. "There is a pulmonary nodule in the right upper
            lobe, about 12 mm.", also when the text denies it: the denial is judged by asking for the thing.
        denied: the text says that it is absent.
        finding: how the words were read, or None when nothing known could be read from them.
    """

    span: Span
    english: str
    denied: bool = False
    finding: Finding | None = None

    @property
    def in_english(self) -> bool:
        """Whether `english` is: Chinese in which nothing known was read stays as it was given."""
        return self.finding is not None or not any(map(is_chinese, self.english))

    @property
    def window(self) -> str | None:
        """Name of the display window that shows it best, if known."""
        return self.finding.concept.window if self.finding else None


def statements(reading: Reading) -> tuple[Statement, ...]:
    """The claims of a text in reading order; the whole text as one claim when no finding was read from it."""
    made = [
        Statement(finding.sentence, canonical(finding), finding.presence == "absent", finding)
        for finding in reading.findings
    ]
    return tuple(made) or (Statement(Span(0, len(reading.text), reading.text), reading.text.strip()),)


def to_look_for(reading: Reading) -> list[Statement]:
    """What a ranking looks for: each claim once, and nothing the text denies (unless it only denies)."""
    made = statements(reading)
    return list({one.span: one for one in made if not one.denied}.values()) or list(made)


def canonical(finding: Finding) -> str:
    """The finding as one English sentence that says it is present."""
    words = [attribute.replace("_", "-") for attribute in finding.attributes]
    name = finding.concept.english.lower() if finding.concept.kind == "finding" else finding.concept.english
    words = [word for word in words if word not in name]
    thing = " ".join([*words, name])
    where = _where(finding)
    size = f", about {' x '.join(f'{mm:g}' for mm in finding.sizes_mm)} mm" if finding.sizes_mm else ""
    article = "" if finding.multiple or name.endswith(_UNCOUNTABLE) else "an " if thing[:1].lower() in "aeiou" else "a "
    verb = "are" if finding.multiple else "is"
    plural = "s" if finding.multiple and not name.endswith("s") else ""
    return f"There {verb} {article}{thing}{plural}{where}{size}."


def _where(finding: Finding) -> str:
    place = finding.place
    side = "" if place.side in (None, "both") else f"{place.side} "
    sites = [site.english.lower() for site in place.sites]
    if place.lobes:
        what = " and ".join(place.lobes) + (" lobe" if place.lobes != ("lingula",) else "")
        text = f" in the {side}{what}"
    elif sites:
        site = sites[0]
        text = f" in the {'' if side.strip() and side.strip() in site else side}{site}"
        if place.side == "both":
            text += " on both sides"
    elif side:
        text = f" on the {side}side"
    else:
        text = ""
    if place.zones:
        text += f", {' '.join(place.zones)} part"
    if place.segments:
        text += f", segment {' and '.join(place.segments)}"
    if place.levels:
        text += f", at {' and '.join(place.levels)}"
    return text
