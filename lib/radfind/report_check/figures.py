"""The images a report is checked against, each with the name a person would call it by."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

from radfind.engines.api import Context
from radfind.errors import ImageError, InputError
from radfind.imaging import list_series, load
from radfind.volume import Volume

_NAMED = re.compile(r"([^=/\\]+)=(.+)", re.DOTALL)
_ENGLISH = re.compile(r"\bfig(?:ure|ures|s)?\b\.?\s*(\d{1,3}(?:\s*(?:,|and|&)\s*\d{1,3})*)", re.IGNORECASE)
_CHINESE = re.compile(r"(?:附图|图)\s*(\d{1,3}(?:\s*[、,和及]\s*\d{1,3})*)(?!\s*[层幅张])")


@dataclasses.dataclass(frozen=True, eq=False)
class Figure:
    """One image of a study.

    Arguments:
        name: how messages call it: "Figure 2", or the name a caller gave.
        volume: the image; a picture is a volume of one slice.
    """

    name: str
    volume: Volume

    @property
    def title(self) -> str:
        """The name, and what the image says of itself."""
        described = self.volume.header.get("SeriesDescription") or self.volume.name
        parts = ", ".join(part for part in (self.volume.modality, described) if part)
        return f"{self.name} ({parts})" if parts else self.name


def load_figures(images: Sequence[str | Path], context: Context | None = None) -> tuple[Figure, ...]:
    """Read the images in order; every series of a DICOM folder or zip is a figure of its own.

    Arguments:
        images: paths, or ``NAME=path``; an image without a name is called "Figure N" after its place.
        context: told how far reading is; may cancel it.

    Raises:
        InputError: nothing was named, or two figures have one name.
        ImageError: an image cannot be read.
    """
    if not images:
        raise InputError("No image was named. Give the study's folder, or image files, after the report.")
    context = context or Context()
    figures: list[Figure] = []
    for done, image in enumerate(images):
        context.step(done / len(images), f"reading {image}")
        match = None if Path(image).exists() else _NAMED.fullmatch(str(image))
        name, path = (match[1].strip(), Path(match[2])) if match else ("", Path(image))
        volumes = _volumes(path)
        for number, volume in enumerate(volumes, start=1):
            own = name if len(volumes) == 1 else f"{name} {number}" if name else ""
            figures.append(Figure(own or f"Figure {len(figures) + 1}", volume))
    names = [figure.name.casefold() for figure in figures]
    for figure in figures:
        if names.count(figure.name.casefold()) > 1:
            raise InputError(f"Two figures are called '{figure.name}'. Give each a name of its own: NAME=path.")
    return tuple(figures)


def named_figures(text: str, figures: Sequence[Figure]) -> tuple[int, ...]:
    """Indices of the figures that `text` names: by their name, or by number ("fig. 2", "图2")."""
    folded = text.casefold()
    numbers = {
        int(number)
        for pattern in (_ENGLISH, _CHINESE)
        for match in pattern.finditer(text)
        for number in re.findall(r"\d+", match[1])
    }
    called = {f"figure {number}" for number in numbers}
    found = []
    for index, figure in enumerate(figures):
        name = figure.name.casefold()
        if name in called or re.search(rf"(?<!\w){re.escape(name)}(?!\w)", folded):
            found.append(index)
    return tuple(found)


def _volumes(path: Path) -> list[Volume]:
    series = list_series(path)
    if len(series) <= 1:
        return [load(path)]
    if any(not one.uid for one in series):
        raise ImageError(f"'{path}' holds several series, not all with a UID: name their files one by one.")
    return [load(path, series=one.uid) for one in series]
