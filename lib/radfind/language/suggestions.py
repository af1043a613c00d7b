"""Near misses of the lexicon: words of a text that look like a slip of the pen."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

from radfind.language.findings import Span
from radfind.language.lexicon import Lexicon, Match
from radfind.language.text import span_of

# More unknown words than this are not a slip of the pen but another language.
_MOST_SUGGESTIONS = 20
_MOST_WORDS = 300


def suggestions(
    text: str, folded: str, matches: Sequence[Match], lexicon: Lexicon
) -> tuple[tuple[Span, tuple[str, ...]], ...]:
    """(unknown word, nearest known terms) of a text: "did you mean"."""
    known = bytearray(len(text))
    for match in matches:
        known[match.span.start : match.span.stop] = b"\1" * (match.span.stop - match.span.start)
    result: list[tuple[Span, tuple[str, ...]]] = []
    seen: set[str] = set()
    for word in re.finditer(r"[a-z]{5,30}", folded):
        if known[word.start()] or word.group() in seen:
            continue
        seen.add(word.group())
        near = _suggest(lexicon, word.group())
        if near:
            result.append((span_of(text, *word.span()), near))
        if len(result) >= _MOST_SUGGESTIONS or len(seen) >= _MOST_WORDS:
            break
    return tuple(result)


@functools.lru_cache(maxsize=4096)
def _suggest(lexicon: Lexicon, word: str) -> tuple[str, ...]:
    return lexicon.suggest(word)
