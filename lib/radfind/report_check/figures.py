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
_NUMBERS = r"(\d{1,3}(?:\s*(?:and|[,&、，和及至到~–-])\s*\d{1,3})*)"
# The last group, where it matches, tells that the number is none of a figure: too long, or a count of slices.
_ENGLISH = re.compile(rf"\bfig(?:ure|ures|s)?\b\.?\s*{_NUMBERS}(\d)?", re.IGNORECASE)
_CHINESE = re.compile(rf"(?:附图|图)\s*{_NUMBERS}(\d|\s*[层幅张])?")
_RANGE = re.compile(r"(\d+)(?:\s*[至到~–-]\s*(\d+))?")


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


def named_figures(text: str, figures: Sequence[Figure]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The figures that `text` names, by their name or by number ("fig. 2", "figures 2-4", "图2、3").

    Returns:
        Indices of those given, and the numbers of those that are not ("Figure 5").
    """
    folded = text.casefold()
    numbers = {
        number
        for pattern in (_ENGLISH, _CHINESE)
        for match in pattern.finditer(text)
        if not match[2]
        for first, last in _RANGE.findall(match[1])
        for number in range(int(first), int(last or first) + 1)
    }
    called = {f"figure {number}": f"Figure {number}" for number in sorted(numbers)}
    found = []
    for index, figure in enumerate(figures):
        name = figure.name.casefold()
        if called.pop(name, None) or re.search(rf"(?<!\w){re.escape(name)}(?!\w)", folded):
            found.append(index)
    return tuple(found), tuple(called.values())


def _volumes(path: Path) -> list[Volume]:
    series = list_series(path)
    if len(series) <= 1:
        return [load(path)]
    if any(not one.uid for one in series):
        raise ImageError(f"'{path}' holds several series, not all with a UID: name their files one by one.")
    return [load(path, series=one.uid) for one in series]
