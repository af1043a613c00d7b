"""Pictures: where they lie in the patient and how large they are is not known, and is not made up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

import radfind
from radfind.phantom import make_phantom, write_dicom


def test_a_picture_is_not_placed_and_what_it_says_of_printing_is_no_size(tmp_path: Path) -> None:
    picture = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8))
    picture.save(tmp_path / "a.png", dpi=(72, 72))
    picture.save(tmp_path / "b.png")
    for given in (tmp_path / "a.png", [tmp_path / "a.png", tmp_path / "b.png"]):
        volume = radfind.load(given)
        assert not volume.placed
        assert volume.geometry.spacing == (1, 1, 1)
        assert "left and right are unknown" in volume.warnings[0]


def test_sections_are_placed(tmp_path: Path) -> None:
    write_dicom(make_phantom(seed=1, shape=(6, 32, 32)).volume, tmp_path)
    assert radfind.load(tmp_path).placed
