"""Run in a process of its own: writes a random YOLOE of the true architecture. ``make_yoloe.py FILE``"""

from __future__ import annotations

import sys
from pathlib import Path


def main(file: Path) -> None:
    import numpy as np
    import torch
    from safetensors.torch import save_file
    from ultralytics import YOLOE

    from radfind.engines.slice_images import SlicePictures
    from radfind.volume import Geometry, Volume

    torch.manual_seed(0)
    network = YOLOE(f"{file.stem}.yaml")
    # Untrained, the scores of all places and classes are equal. Batch statistics measured on noise let the input
    # through to the end, and the scale of the last layer is set so that log-odds spread by about 1 around -2.
    voxels = np.random.default_rng(1).integers(-1000, 400, (32, 64, 64)).astype(np.int16)
    pictures = SlicePictures(Volume(voxels, Geometry.from_parts(voxels.shape), "CT"), ("lung", "soft_tissue", "bone"))
    noise = torch.from_numpy(np.stack([pictures.picture(k) for k in range(32)])).permute(0, 3, 1, 2) / 255
    heads = network.model.model[-1].cv4
    with torch.no_grad():
        for module in network.model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None
        network.model.pe = torch.nn.functional.normalize(torch.randn(1, 8, 512), dim=-1)
        network.model.train()
        for _ in range(4):
            network.model(noise)
        network.model.eval()
        spreads: list[float] = []
        hooks = [head.register_forward_hook(lambda module, given, made: spreads.append(made.std())) for head in heads]
        for head in heads:
            head.logit_scale.fill_(0.0)
        network.model(noise)
        for head, hook, spread in zip(heads, hooks, spreads, strict=True):
            hook.remove()
            head.logit_scale.fill_(-float(torch.log(spread)))
            head.bias.fill_(-2.0)
        del network.model.pe
    if file.suffix == ".pt":
        network.save(str(file))
    else:
        save_file({name: value.contiguous() for name, value in network.model.state_dict().items()}, file)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
