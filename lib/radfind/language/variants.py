"""Spelling variants of an English term made by rule: plural, British spelling, hyphen."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path

_IRREGULAR = {
    "apex": ("apices", "apexes"),
    "appendix": ("appendices", "appendixes"),
    "calyx": ("calyces",),
    "cervix": ("cervices",),
    "cortex": ("cortices",),
    "foot": ("feet",),
    "foramen": ("foramina", "foramens"),
    "larynx": ("larynges",),
    "lumen": ("lumina", "lumens"),
    "meninx": ("meninges",),
    "pharynx": ("pharynges",),
    "pelvis": ("pelves",),
    "femur": ("femora", "femurs"),
    "viscus": ("viscera",),
    "corpus": ("corpora", "corpuses"),
    "tooth": ("teeth",),
}
"""Plurals that no ending rule gives."""

_MASS = re.compile(
    r"(?:ss|ics|[aeo]us[e]?|gas|air|fat|muscle tissue|tissue|fluid|blood|matter|marrow|ed|able|al|ic|ary|ous)$"
)
"""Endings of words that have no plural of their own, mostly adjectives and mass nouns."""


@functools.cache
def _spellings() -> tuple[tuple[str, str], ...]:
    """(American, British) word parts, from data/spelling.json."""
    pairs = json.loads((Path(__file__).parent / "data" / "spelling.json").read_text("utf-8"))
    return tuple((american, british) for american, british in pairs)


def plurals(word: str) -> tuple[str, ...]:
    """Plural forms of an English or Latin noun, by ending; empty for words that take none.

    Example:
        >>> plurals("bronchus")
        ('bronchi', 'bronchuses')
    """
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith(("sis", "xis")):
        return (word[:-2] + "es",)
    if word.endswith(("mass", "abscess", "process")):
        return (word + "es",)
    if len(word) < 3 or (_MASS.search(word) and not word.endswith("canal")):
        return ()
    if word.endswith("us"):
        return (word[:-2] + "i", word + "es")
    if word.endswith("um"):
        return (word[:-2] + "a", word + "s")
    if word.endswith("oma"):
        return (word + "s", word + "ta")
    if word.endswith("a"):
        return (word + "e", word + "s")
    if word.endswith("itis"):
        return ()
    if word.endswith(("ch", "sh", "x")):
        return (word + "es",)
    if word.endswith("s"):
        return ()
    if word.endswith("y") and word[-2] not in "aeiou":
        return (word[:-1] + "ies",)
    return (word + "s",)


def with_plurals(term: str) -> tuple[str, ...]:
    """The term, and with its head noun in the plural: the word before " of " / " in ", else the last word."""
    head, joint, tail = term, "", ""
    for joiner in (" of ", " in ", " with "):
        if joiner in term:
            before, _, after = term.partition(joiner)
            if len(before) < len(head):
                head, joint, tail = before, joiner, after
    front, space, noun = head.rpartition(" ")
    return (term, *(front + space + plural + joint + tail for plural in plurals(noun)))


def with_british(term: str) -> tuple[str, ...]:
    """The term in American and British spelling."""
    british = term
    for american, other in _spellings():
        if american in british and other not in british:
            british = british.replace(american, other)
    return (term,) if british == term else (term, british)


def english_variants(term: str) -> tuple[str, ...]:
    """Every written form of a lower-case English term that has the same meaning.

    A hyphen stands for a hyphen, a space or nothing ("ground-glass" is also "ground glass" and "groundglass");
    a space for a space or a hyphen.
    """
    joined = (term.replace("-", " "), term.replace("-", "")) if "-" in term else (term,)
    forms = [form for base in joined for spelled in with_british(base) for form in with_plurals(spelled)]
    compound = term.partition(" ")[0]
    if compound.count("-") > 1:  # "tree-in-bud nodule" is no tree, but a nodule
        rest = term.partition(" ")[2]
        forms += [f"{compound.replace('-', ' ')} {plural}" for plural in with_plurals(rest)[1:] if rest]
    return tuple(dict.fromkeys(forms))
