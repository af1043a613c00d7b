"""Names of any origin become fit for DICOM, XML and FHIR, and texts keep the source's character set."""

from __future__ import annotations

import pydicom
import pytest

from radfind.exports.names import UTF8, character_set, long_string, printable, value_or_empty


def test_names_are_one_line_and_never_empty() -> None:
    assert printable(" left\tkidney\n\x01 cyst ") == "left kidney cyst"
    assert printable("  ") == "unnamed" and printable("", "segment 3") == "segment 3"


def test_a_long_string_is_one_value_of_64_bytes() -> None:
    assert long_string("a\\b") == "a/b"
    assert long_string("x" * 80) == "x" * 64
    assert long_string("肝" * 90) == "肝" * 21  # three bytes each, none cut in two


@pytest.mark.parametrize(
    ("keyword", "given", "written"),
    [
        ("StudyDate", "20250131", "20250131"),
        ("StudyDate", "2025.01.31", "20250131"),
        ("PatientBirthDate", "1960", ""),
        ("StudyDate", "20250231", ""),
        ("StudyTime", "120000.5", "120000.5"),
        ("StudyTime", "noon", ""),
        ("PatientAge", "045Y", "045Y"),
        ("PatientAge", "45", ""),
        ("PatientWeight", "70 kg", ""),
        ("PatientID", "X" * 80, "X" * 80),
        ("PatientName", "王^小东", "王^小东"),
    ],
)
def test_values_of_the_source_are_kept_where_their_vr_allows_it(keyword: str, given: str, written: str) -> None:
    assert value_or_empty(keyword, given) == written


def dataset(name: str, label: str = "nodule") -> pydicom.Dataset:
    item, whole = pydicom.Dataset(), pydicom.Dataset()
    item.SegmentLabel = label
    whole.PatientName, whole.SegmentSequence = name, [item]
    return whole


def test_the_character_set_of_the_source_is_kept_when_it_holds_every_text() -> None:
    assert character_set(dataset("Müller"), "ISO_IR 100") == "ISO_IR 100"
    assert character_set(dataset("Wang=王^小东", "肝"), "GB18030") == "GB18030"
    assert character_set(dataset("Müller", "肝"), "ISO_IR 100") == UTF8
    assert character_set(dataset("Smith"), "") == UTF8
    assert character_set(dataset("Müller"), "no such set") == UTF8


def test_what_is_written_in_the_set_of_the_source_is_read_back() -> None:
    for name, source in (("Müller", "ISO_IR 100"), ("Yamada^Tarou=山田^太郎", "\\ISO 2022 IR 87"), ("张", "ISO_IR 6")):
        whole = dataset(name, name)
        whole.SpecificCharacterSet = character_set(whole, source)
        whole.is_little_endian, whole.is_implicit_VR = True, False
        buffer = pydicom.filebase.DicomBytesIO()
        pydicom.dcmwrite(buffer, whole)
        buffer.seek(0)
        back = pydicom.dcmread(buffer, force=True)
        assert str(back.PatientName) == name and back.SegmentSequence[0].SegmentLabel == name
