"""Names and texts of any origin, made fit for the files they go into."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

UTF8 = "ISO_IR 192"
_LONG_STRING = 64
_TEXT_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})


def printable(name: str, fallback: str = "unnamed") -> str:
    """`name` on one line without control characters, which XML, OBJ and DICOM cannot hold; `fallback` when empty."""
    kept = "".join(c if c.isprintable() else " " for c in name)
    return " ".join(kept.split()) or fallback


def long_string(name: str, fallback: str = "unnamed") -> str:
    """`name` as one value of VR LO (PS3.5 6.2): no backslash, which parts values, and at most 64 bytes.

    The standard counts characters, but receivers that count bytes are many.
    """
    text = printable(name, fallback).replace("\\", "/")
    return text.encode()[:_LONG_STRING].decode(errors="ignore").rstrip()


def value_or_empty(keyword: str, text: str) -> str:
    """A value of the source's header as its VR allows it, or "" when it is no such value.

    Dates of ACR-NEMA (2025.01.31) are brought to today's form. Names, numbers and descriptions stay as they are, even
    when too long: changed, the object would be filed under another patient or study.
    """
    from pydicom import config
    from pydicom.datadict import dictionary_VR
    from pydicom.valuerep import TM, validate_value

    vr = dictionary_VR(keyword)
    if vr == "DA":
        for form in ("%Y%m%d", "%Y.%m.%d"):
            try:
                return dt.datetime.strptime(text.strip(), form).strftime("%Y%m%d")
            except ValueError:
                continue
        return ""
    if vr in _TEXT_VRS:
        return text
    try:
        validate_value(vr, text, config.RAISE)
        if vr == "TM" and text:
            TM(text)
    except ValueError:
        return ""
    return text


def character_set(dataset: Dataset, source: str) -> str | list[str]:
    """The Specific Character Set to write `dataset` in: the source's when it holds every text, else UTF-8.

    So names compare equal byte for byte with those of the images, and what reads the images reads the result.

    Arguments:
        source: that of the source series; several are parted by a backslash; "" is the default repertoire (ASCII).
    """
    from pydicom.charset import python_encoding

    sets = source.split("\\")
    if source and all(name in python_encoding for name in sets) and all(_fits(text, sets) for text in _texts(dataset)):
        return sets if len(sets) > 1 else sets[0]
    return UTF8


def _texts(dataset: Dataset) -> set[str]:
    found: set[str] = set()
    for element in dataset.iterall():
        if element.VR in _TEXT_VRS and element.value:
            found.update(str(value) for value in (element.value if element.VM > 1 else [element.value]))
    return {text for text in found if not text.isascii()}


def _fits(text: str, sets: list[str]) -> bool:
    """Whether `text` comes back when it is written in `sets`."""
    import warnings

    from pydicom.charset import convert_encodings, decode_bytes, encode_string
    from pydicom.valuerep import TEXT_VR_DELIMS

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of what does not fit, and writes question marks
        encodings = convert_encodings(list(sets))
        return str(decode_bytes(encode_string(text, encodings), encodings, TEXT_VR_DELIMS)) == text
