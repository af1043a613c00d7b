"""What is judged against a query: images, clips and text, in the model's own form."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from radfind.engines.qwen3vl.template import IMAGE_PAD, VIDEO_PAD, VISION_END, VISION_START, plain
from radfind.errors import ImageError

if TYPE_CHECKING:
    import torch

FACTOR = 32
"""Image sides are multiples of this: 16-pixel patches, merged 2 x 2."""
MIN_PIXELS = 4 * FACTOR * FACTOR
MAX_PIXELS = 1800 * FACTOR * FACTOR
CLIP_FPS = 1.0
CLIP_MAX_FRAMES = 64
FRAME_MIN_PIXELS = 128 * FACTOR * FACTOR
FRAME_MAX_PIXELS = 768 * FACTOR * FACTOR
CLIP_MAX_PIXELS = 10 * FRAME_MAX_PIXELS
"""Published limits of the reranker: 4 to 1800 tokens an image; clips at 1 frame a second, at most 64 frames, 128 to
768 tokens a pair of frames and about 7680 for the whole clip (`qwen3_vl_reranker.py`, `qwen_vl_utils.fetch_video`)."""


@dataclasses.dataclass(frozen=True, eq=False)
class Image:
    """One image, (rows, columns, 3) uint8 RGB."""

    pixels: npt.NDArray[np.uint8]

    def __post_init__(self) -> None:
        _check(self.pixels, 3)


@dataclasses.dataclass(frozen=True, eq=False)
class Clip:
    """A cine loop, (frames, rows, columns, 3) uint8 RGB; `fps` is that of the recording."""

    pixels: npt.NDArray[np.uint8]
    fps: float

    def __post_init__(self) -> None:
        _check(self.pixels, 4)
        if not self.fps > 0:
            raise ImageError(f"A clip needs its frame rate to be sampled; {self.fps} frames a second is none.")

    def sampled(self) -> tuple[npt.NDArray[np.uint8], list[float]]:
        """The frames the model sees, an even number of them, and the time in seconds of each."""
        frames = len(self.pixels)
        wanted = min(max(round(frames / self.fps * CLIP_FPS), 4), CLIP_MAX_FRAMES, frames)
        wanted = max(2, wanted // 2 * 2)  # two frames make one temporal patch
        index = np.linspace(0, frames - 1, wanted).round().astype(int)
        return self.pixels[index], [float(k) / self.fps for k in index]


Part: TypeAlias = Image | Clip | str
Document: TypeAlias = Sequence[Part]


@dataclasses.dataclass(frozen=True, eq=False)
class Seen:
    """What the vision encoder made of one image or clip.

    Arguments:
        features: (1 + D, n, hidden): what stands at the n vision tokens, then what is added there after
            each of the first D layers (DeepStack).
        grid: temporal, vertical and horizontal number of patches.
        times: for a clip, mean time in seconds of each temporal patch.
    """

    features: torch.Tensor
    grid: tuple[int, int, int]
    times: tuple[float, ...] | None = None

    @property
    def text(self) -> str:
        """The placeholder text whose pad tokens the features replace."""
        _, h, w = self.grid
        tokens = h * w // 4
        if self.times is None:
            return f"{VISION_START}{IMAGE_PAD * tokens}{VISION_END}"
        frame = f"{VISION_START}{VIDEO_PAD * tokens}{VISION_END}"
        return "".join(f"<{time:.1f} seconds>{frame}" for time in self.times)


def smart_size(rows: int, columns: int, max_pixels: int = MAX_PIXELS, min_pixels: int = MIN_PIXELS) -> tuple[int, int]:
    """The size an image is brought to: multiples of 32, within the pixel limits, aspect kept as nearly as can be.

    The published rule of the Qwen-VL family ("smart resize").
    """
    if max(rows, columns) > 200 * min(rows, columns):
        raise ImageError(f"An image of {rows} x {columns} pixels is too narrow for the model (at most 200 : 1).")
    height, width = (max(FACTOR, round(size / FACTOR) * FACTOR) for size in (rows, columns))
    if height * width > max_pixels:
        shrink = (rows * columns / max_pixels) ** 0.5
        height, width = (max(FACTOR, int(size / shrink / FACTOR) * FACTOR) for size in (rows, columns))
    elif height * width < min_pixels:
        grow = (min_pixels / (rows * columns)) ** 0.5
        height, width = (int(np.ceil(size * grow / FACTOR)) * FACTOR for size in (rows, columns))
    return height, width


def resized(
    pixels: npt.NDArray[np.uint8], max_pixels: int = MAX_PIXELS, min_pixels: int = MIN_PIXELS
) -> npt.NDArray[np.uint8]:
    """The image at its `smart_size`, bicubic."""
    height, width = smart_size(pixels.shape[0], pixels.shape[1], max_pixels, min_pixels)
    if (height, width) == pixels.shape[:2]:
        return pixels
    from PIL import Image as Pillow

    return np.asarray(Pillow.fromarray(pixels).resize((width, height), Pillow.Resampling.BICUBIC))


def frames_of(part: Image | Clip) -> tuple[npt.NDArray[np.uint8], tuple[float, ...] | None]:
    """(frames, rows, columns, 3) at the model's size, and the time of each temporal patch (None for an image)."""
    if isinstance(part, Image):
        return resized(part.pixels)[None], None
    pixels, times = part.sampled()
    limit = max(min(FRAME_MAX_PIXELS, 2 * CLIP_MAX_PIXELS // len(pixels)), int(1.05 * FRAME_MIN_PIXELS))
    frames = np.stack([resized(frame, limit, FRAME_MIN_PIXELS) for frame in pixels])
    return frames, tuple((a + b) / 2 for a, b in zip(times[::2], times[1::2], strict=True))


def patches(frames: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """Normalised patches in the order the vision encoder expects.

    Arguments:
        frames: (frames, rows, columns, 3) uint8; a single frame is doubled, as the encoder takes pairs.
        mean, std: (3,) of the 0..1 values.

    Returns:
        (temporal * vertical * horizontal patches, 3 * 2 * 16 * 16), merged 2 x 2 groups together.
    """
    import torch

    if len(frames) == 1:
        frames = frames.expand(2, -1, -1, -1)
    count, rows, columns, _ = frames.shape
    values = (frames.to(torch.float32) / 255 - mean) / std
    split = values.reshape(count // 2, 2, rows // 32, 2, 16, columns // 32, 2, 16, 3)
    # t, pair, row group, row in group, y, column group, column in group, x, channel
    return split.permute(0, 2, 5, 3, 6, 8, 1, 4, 7).reshape(-1, 3 * 2 * 16 * 16)


def ordered(parts: Sequence[Seen | str]) -> list[Seen | str]:
    """The parts of one document in the order of training: clips, images, text."""
    return sorted(parts, key=lambda part: 2 if isinstance(part, str) else int(part.times is None))


def document_text(parts: Sequence[Seen | str]) -> str:
    """The text of a document, with placeholders for what is seen."""
    return "".join(plain(part) if isinstance(part, str) else part.text for part in parts) or "NULL"


def _check(pixels: npt.NDArray[np.uint8], axes: int) -> None:
    if pixels.ndim != axes or pixels.shape[-1] != 3 or pixels.dtype != np.uint8 or 0 in pixels.shape:
        raise ImageError(
            f"An image for the reranker must be RGB bytes, not {pixels.dtype} of shape {pixels.shape}; a missing or "
            "broken image is never scored."
        )
