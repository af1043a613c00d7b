"""Run in a process of its own: trains a nano YOLOE on small phantom slices. ``train_yoloe.py FILE [STEPS]``

Noisy lung-like slices with disks and squares of varying size, brightness and place; batches alternate between
text prompts (the test encoder's vectors) and visual prompts (the boxes of one image's own objects), as YOLOE's
own training does. The loss is the library's.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

SIZE = 96
WORDS = ("planted ball", "planted block")  # no words of the lexicon, which would bring in their synonyms


def plant(
    rng: np.random.Generator, slices: int = 1, *, kinds: tuple[int, ...] = (0, 1)
) -> tuple[Any, list[tuple[int, Any]]]:
    """Hounsfield units (slices, SIZE, SIZE), and (kind, boolean mask) of each planted object: ball 0, block 1."""
    array = rng.normal(-850, 60, (slices, SIZE, SIZE))
    k, j, i = np.indices(array.shape)
    objects: list[tuple[int, Any]] = []
    quarters = rng.permutation(4)[: len(kinds)]
    for kind, quarter in zip(kinds, quarters, strict=True):
        radius = rng.uniform(6, 11)
        row, column = (48 * (quarter // 2) + rng.uniform(13, 35), 48 * (quarter % 2) + rng.uniform(13, 35))
        depth = (k - (slices - 1) / 2) * 2
        if kind == 0:
            mask = (j - row) ** 2 + (i - column) ** 2 + depth**2 <= radius**2
        else:
            mask = np.maximum(np.abs(j - row), np.abs(i - column)) <= radius * 0.85
        array[mask] = rng.normal(rng.uniform(-50, 80), 30, int(mask.sum()))
        objects.append((kind, mask))
    return array.round().astype(np.int16), objects


def main(file: Path, steps: int = 400) -> None:
    import torch
    import yoloe_words
    from safetensors.torch import save_file
    from ultralytics import YOLOE
    from ultralytics.cfg import get_cfg
    from ultralytics.data.augment import LoadVisualPrompt
    from ultralytics.utils.loss import v8SegmentationLoss

    from radfind.engines.slice_images import SlicePictures
    from radfind.volume import Geometry, Volume

    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    model = YOLOE(f"{file.stem}.yaml").model
    model.args = get_cfg()
    model.train()
    loss_of = v8SegmentationLoss(model)
    loss_of.nc, loss_of.no = 2, 2 + 4 * loss_of.reg_max
    loss_of.assigner.num_classes = 2
    words = torch.from_numpy(yoloe_words.encode(list(WORDS)))[None]
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    batch_size = 8
    started = time.monotonic()
    for step in range(steps):
        images, visuals, masks = [], [], []
        labels: dict[str, list[Any]] = {"cls": [], "bboxes": [], "batch_idx": []}
        for n in range(batch_size):
            array, objects = plant(rng, kinds=(0, 1))
            volume = Volume(array, Geometry.from_parts(array.shape), "CT")
            images.append(SlicePictures(volume, ("lung", "soft_tissue", "bone")).picture(0))
            numbered = np.zeros((SIZE, SIZE), np.float32)
            boxes = []
            for number, (kind, mask) in enumerate(objects, start=1):
                rows, columns = (np.flatnonzero(mask[0].any(axis=axis)) for axis in (1, 0))
                box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
                boxes.append(box)
                center, extent = (box[:2] + box[2:]) / 2 / SIZE, (box[2:] - box[:2]) / SIZE
                numbered[mask[0]] = number
                labels["cls"].append([float(kind)])
                labels["bboxes"].append([*center, *extent])
                labels["batch_idx"].append(float(n))
            masks.append(numbered[::4, ::4])
            visuals.append(LoadVisualPrompt().get_visuals(np.array([0, 1]), (SIZE, SIZE), np.stack(boxes)))
        batch = {name: torch.tensor(np.array(values), dtype=torch.float32) for name, values in labels.items()}
        batch["masks"] = torch.from_numpy(np.stack(masks))
        # The library's channel order: what it reads as BGR becomes RGB before the network.
        pictures = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
        prompts = {"vpe": torch.stack(visuals)} if step % 2 else {"tpe": words.expand(batch_size, -1, -1)}
        loss, _ = loss_of(model(pictures, **prompts), batch)
        optimizer.zero_grad()
        loss.sum().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        schedule.step()
        if step % 10 == 0:
            print(
                step, round(time.monotonic() - started), [round(float(part), 2) for part in loss.detach()], flush=True
            )
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, file)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
