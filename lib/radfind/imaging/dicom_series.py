"""Which series a folder holds, and which one is meant."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from radfind.errors import ImageError
from radfind.imaging.dicom_header import Frame, Instance, frames_of
from radfind.imaging.dicom_pixels import locate

# Objects that may carry pixels or sit beside images but are no images themselves.
_NOT_IMAGES = frozenset({
    "ANN", "AU", "DOC", "ECG", "EPS", "FID", "HC", "HD", "KO", "PLAN", "PR", "REG", "RTDOSE", "RTPLAN", "RTRECORD",
    "RTSTRUCT", "RWV", "SEG", "SMR", "SR", "SRF", "TEXTUREMAP", "M3D",
})  # fmt: skip
_SLICED = frozenset({"CT", "MR", "PT"})


@dataclasses.dataclass(frozen=True)
class SeriesInfo:
    """What a user chooses a series by.

    Arguments:
        uid: Series Instance UID.
        description: Series Description, "" when absent.
        modality: DICOM Modality.
        count: number of slices or frames.
        size: (rows, columns) of the first one.
        files: its files; inside an archive, named as members of it.
    """

    uid: str
    description: str
    modality: str
    count: int
    size: tuple[int, int]
    files: tuple[Path, ...] = ()

    def __str__(self) -> str:
        title = f" '{self.description}'" if self.description else ""
        size = f"{self.count} x {self.size[0]} x {self.size[1]}"
        return f"{self.modality or '??'}{title}, {size}, UID {self.uid or 'missing'}"


@dataclasses.dataclass(frozen=True, eq=False)
class Series:
    """The frames of one series in file order, and what was noticed while choosing it."""

    info: SeriesInfo
    frames: tuple[Frame, ...]
    where: Path
    warnings: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """How an error names it."""
        title = f" '{self.info.description}'" if self.info.description else ""
        return f"Series{title} (UID {self.info.uid or 'missing'}) in '{self.where}'"


def group(instances: Sequence[Instance], where: Path) -> list[Series]:
    """Image series among the files, most slices first; reports, plans and segmentations are passed over.

    Raises:
        ImageError: a multi-frame file is damaged, or a file ends within its header.
    """
    grouped: dict[str, list[Instance]] = {}
    for instance in instances:
        if instance.text("Modality") not in _NOT_IMAGES:
            grouped.setdefault(instance.text("SeriesInstanceUID"), []).append(instance)
    result = []
    for uid, members in grouped.items():
        for member in members:
            if member.frame_count > 1:
                locate(member)  # a header that promises a million frames is caught before they are listed
        first = next((m for m in members if m.pixel_offset is not None), None)
        if first is None:
            _refuse_cut_headers(members)
            continue
        info = SeriesInfo(
            uid=uid,
            description=first.text("SeriesDescription"),
            modality=first.text("Modality"),
            count=sum(member.frame_count for member in members),
            size=first.size,
            files=tuple(member.source.shown for member in members),
        )
        result.append((info, members))
    result.sort(key=lambda pair: -pair[0].count)
    return [Series(info, tuple(f for m in members for f in frames_of(m)), where) for info, members in result]


def _refuse_cut_headers(members: Sequence[Instance]) -> None:
    """Every object names its series, those without pixels too (PS3.3 A.1.4): one that does not ends before that."""
    for member in members:
        if member.text("SOPInstanceUID") and not member.text("SeriesInstanceUID"):
            raise ImageError(
                f"'{member.source.shown}' is cut short: it ends within its header. Copy or export the series again."
            )


def choose(found: Sequence[Series], wanted: str | None, instances: Sequence[Instance], where: Path) -> Series:
    """The series meant.

    With `wanted`, the one of that UID. Without: the only one; or else the only one that is a volume (CT, MR or PET
    with at least three slices at different places), when all others are localizers or single images. Two volumes are
    never merged or chosen between.

    Raises:
        ImageError: there is none, none of that UID, or more than one could be meant.
    """
    if not found:
        kinds = sorted({instance.text("Modality") or "unknown" for instance in instances})
        raise ImageError(
            f"'{where}' holds DICOM files but no image with pixels (only: {', '.join(kinds)}). Give the "
            "image series itself."
        )
    if wanted is not None:
        for series in found:
            if series.info.uid == wanted:
                return series
        raise ImageError(f"'{where}' holds no image series with UID {wanted}. It holds: {listing(found)}.")
    if len(found) == 1:
        return found[0]
    volumes = [series for series in found if _is_volume(series)]
    if len(volumes) == 1:
        others = "; ".join(str(series.info) for series in found if series is not volumes[0])
        told = f"Of {len(found)} series, the only volume was taken. Left out: {others}."
        return dataclasses.replace(volumes[0], warnings=(told,))
    raise ImageError(
        f"'{where}' holds {len(found)} image series and RadFind does not guess which one is meant. Name one by its "
        f"Series Instance UID: {listing(found)}."
    )


def listing(found: Sequence[Series]) -> str:
    shown = "; ".join(f"({n}) {series.info}" for n, series in enumerate(found[:20], start=1))
    return shown + (f"; and {len(found) - 20} more" if len(found) > 20 else "")


def _is_volume(series: Series) -> bool:
    if series.info.modality not in _SLICED:
        return False
    places = {
        tuple(frame.position.round(3))
        for frame in series.frames
        if frame.position is not None and "LOCALIZER" not in frame.instance.text("ImageType").upper()
    }
    return len(places) >= 3
