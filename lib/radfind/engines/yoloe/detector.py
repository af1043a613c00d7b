"""The YOLOE network: images and class embeddings in, masks out. Imports ultralytics; worker process only."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from radfind.engines.pickled import load_pickled
from radfind.errors import EngineError

_LAYERS = ("ultralytics.nn.", "torch.nn.modules.", "ultralytics.utils.IterableSimpleNamespace")
"""A published file is a pickle of these layers; with anything else in it, it is refused."""


PROMPT_CELL = 8
"""Side in network pixels of a cell of the grid on which a visual prompt is drawn (ultralytics' LoadVisualPrompt)."""


@dataclasses.dataclass(frozen=True, eq=False)
class Detection:
    """Boolean (rows, columns) `mask` at the image's size, `index` of the class, `score` in 0..1."""

    mask: npt.NDArray[np.bool_]
    index: int
    score: float


class Detector:
    """YOLOE of the v8, 11 or 26 family.

    Arguments:
        weights: ``yoloe-<family and size>-seg.pt`` as published, or the same state as ``.safetensors``; the
            name says which architecture it is.
        device: "cpu", "cuda:0" ...

    `size`, where it is asked for, is the longest side in pixels at which the network sees an image; it is brought to
    the next multiple of 32.

    Raises:
        EngineError: the file is not such a model, or holds more than layers.
    """

    def __init__(self, weights: Path, *, device: str = "cpu") -> None:
        from ultralytics.utils import SETTINGS

        SETTINGS["sync"] = False  # no reports of use, whatever the user's own settings say
        self.device = device
        self.weights = weights
        named = re.match(r"(yoloe-(?:v8|11|26)[nsmlx]-seg)", weights.name)
        if named is None:
            raise EngineError(f"{weights.name}: the name must begin with the architecture, e.g. yoloe-11s-seg.")
        self._architecture = f"{named.group(1)}.yaml"
        self._state = _state(weights)
        self._promptable = self._build()

    def text_embeddings(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Class embeddings (n, d) from a text encoder's features (n, d), through the model's own text head."""
        import torch

        with torch.no_grad():
            head = self._promptable.model.model[-1]
            made = head.get_tpe(torch.from_numpy(features)[None].to(self.device))
        return np.asarray(made[0].float().cpu(), dtype=np.float32)

    def visual_embeddings(
        self, image: npt.NDArray[np.uint8], boxes: npt.NDArray[np.float32], size: int
    ) -> npt.NDArray[np.float32]:
        """A class embedding (n, d) for each box (n, 4: left, top, right, bottom in pixels) of an RGB image."""
        from ultralytics.models.yolo.yoloe import YOLOEVPSegPredictor

        predictor = YOLOEVPSegPredictor(
            overrides={**self._settings(size), "task": "segment", "mode": "predict", "batch": 1}
        )
        boxes = visible(boxes, PROMPT_CELL * max(image.shape[:2]) / size, image.shape[:2])
        predictor.set_prompts({"bboxes": boxes, "cls": np.arange(len(boxes))})
        predictor.setup_model(model=self._promptable.model, verbose=False)
        made = predictor.get_vpe(np.ascontiguousarray(image[..., ::-1]))
        return np.asarray(made[0].float().cpu(), dtype=np.float32)

    def detect(
        self,
        images: Sequence[npt.NDArray[np.uint8]],
        embeddings: npt.NDArray[np.float32],
        threshold: float,
        size: int,
    ) -> list[list[Detection]]:
        """Detections of classes (n, d) on a batch of RGB images (rows, columns, 3) of one size."""
        import torch

        names = [f"class{index}" for index in range(len(embeddings))]
        self._promptable.set_classes(names, torch.from_numpy(embeddings)[None].to(self.device))
        return self._run(self._promptable, images, threshold, size)

    def prompt_free(self, embeddings: npt.NDArray[np.float32]) -> Any:
        """A second network with a whole vocabulary (n, d) fused into it; run it with `detect_all`."""
        import torch

        network = self._build()
        network.model.eval()
        names = [f"class{index}" for index in range(len(embeddings))]
        fixed = torch.from_numpy(embeddings)[None].to(self.device)
        network.model.get_text_pe = lambda texts: fixed  # the vocabulary's embeddings are already known
        network.set_vocab(network.get_vocab(names), names)
        return network

    def detect_all(
        self, network: Any, images: Sequence[npt.NDArray[np.uint8]], threshold: float, size: int
    ) -> list[list[Detection]]:
        """As `detect`, with a network from `prompt_free`."""
        return self._run(network, images, threshold, size)

    def _build(self) -> Any:
        from ultralytics import YOLOE

        network: Any = YOLOE(self._architecture)
        try:
            network.model.load_state_dict(self._state)
        except RuntimeError as error:
            raise EngineError(f"{self.weights} does not fit {self._architecture}: {error}") from error
        network.model.eval().requires_grad_(False).to(self.device)
        return network

    def _settings(self, size: int) -> dict[str, Any]:
        return {"imgsz": -(-size // 32) * 32, "device": self.device, "verbose": False, "save": False}

    def _run(
        self, network: Any, images: Sequence[npt.NDArray[np.uint8]], threshold: float, size: int
    ) -> list[list[Detection]]:
        results = network.predict(
            [np.ascontiguousarray(image[..., ::-1]) for image in images],  # the library takes BGR
            conf=threshold,
            retina_masks=True,
            batch=len(images),
            **self._settings(size),
        )
        return [_detections(result) for result in results]


def visible(boxes: npt.NDArray[np.float32], least: float, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """The boxes (n, 4), grown about their centres to at least `least` pixels each way, inside an image of `shape`.

    The network is shown a box on a grid of 8 x 8 pixels, as the cells whose corner lies in it; one narrower than a
    cell may hold none, and then the prompt is empty.
    """
    ends = np.array([shape[1], shape[0]], np.float32)
    low, high = boxes[:, :2], boxes[:, 2:]
    side = np.minimum(np.maximum(high - low, least), ends)
    start = np.clip((low + high - side) / 2, 0, ends - side)
    return np.concatenate([start, start + side], axis=1).astype(np.float32)


def _detections(result: Any) -> list[Detection]:
    if result.masks is None:
        return []
    masks = result.masks.data.bool().cpu().numpy()
    classes, scores = result.boxes.cls.int().tolist(), result.boxes.conf.tolist()
    return [Detection(mask, index, score) for mask, index, score in zip(masks, classes, scores, strict=True)]


def _state(file: Path) -> dict[str, Any]:
    """The parameters in a file, without running anything it holds."""
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(file)
    import ultralytics.nn.tasks  # noqa: F401 (so that the layers can be looked up)

    held = load_pickled(file, _LAYERS)
    model = (held.get("ema") or held.get("model")) if isinstance(held, dict) else None
    if model is None:
        raise EngineError(f"{file} is not a YOLOE checkpoint: it holds no model.")
    return dict(model.float().state_dict())
