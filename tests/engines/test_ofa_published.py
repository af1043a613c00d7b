"""OFA's logits beside ModelScope's port, on the same random weights (the stored ones of `tiny_ofa` otherwise).

Runs where ``RADFIND_OFA_REFERENCE`` names the folder ``modelscope/models/multi_modal/ofa`` of modelscope/modelscope
and the installed transformers can still run it (4.57 can; ``PYTHONPATH`` may name a folder with it).
"""

from __future__ import annotations

import importlib
import os
import sys
import types
from typing import Any

import numpy as np
import pytest
import tiny_ofa

torch = pytest.importorskip("torch")

from radfind.engines.ofa.model import OFA, Config  # noqa: E402


@pytest.fixture(scope="module")
def published() -> Any:
    folder = os.environ.get("RADFIND_OFA_REFERENCE")
    if not folder:
        pytest.skip("RADFIND_OFA_REFERENCE does not name ModelScope's folder of OFA")
    package = types.ModuleType("published_ofa")  # without the folder's __init__, which wants all of modelscope
    package.__path__ = [folder]
    unused = types.ModuleType("published_ofa.vit")  # another kind of image encoder, which wants fairseq
    for name in ("vit_base", "vit_huge", "vit_large", "vit_large_336"):
        setattr(unused, name, None)
    sys.modules |= {"published_ofa": package, "published_ofa.vit": unused}
    try:
        settings = importlib.import_module("published_ofa.configuration_ofa")
        modeling = importlib.import_module("published_ofa.modeling_ofa")
        return modeling.OFAModel(settings.OFAConfig(**tiny_ofa.SETTINGS)).eval()
    except (ImportError, AttributeError) as error:
        pytest.skip(f"ModelScope's port does not run with this transformers: {error}")


def test_logits_are_those_of_the_port_run_beside(published: Any) -> None:
    ours = OFA(Config.from_json(tiny_ofa.SETTINGS)).eval()
    shapes = {name: tuple(value.shape) for name, value in ours.state_dict().items() if "tracked" not in name}
    values = {name: torch.from_numpy(value) for name, value in tiny_ofa.weights(shapes).items()}
    values["decoder.embed_tokens.weight"] = values["encoder.embed_tokens.weight"]
    ours.load_state_dict(values, strict=False)
    left = published.load_state_dict(values, strict=False)
    assert left.unexpected_keys == []
    assert all("tracked" in name or "bucket" in name or name.endswith(("version", "idx")) or "output_projection" in name
               for name in left.missing_keys), left.missing_keys  # fmt: skip
    for name, case in tiny_ofa.inputs().items():
        tokens, images, prompt = (torch.from_numpy(case[key]) for key in ("tokens", "images", "prompt"))
        with torch.no_grad():
            mine = ours.logits(ours.states(tokens, *ours.see(images), prompt))
            theirs = published(
                input_ids=tokens,
                patch_images=images,
                patch_masks=torch.ones(len(tokens), dtype=torch.bool),
                decoder_input_ids=prompt,
            ).logits
        rows = torch.arange(len(tokens))
        last = tiny_ofa.last(case["prompt"])
        difference = (mine[rows, last] - theirs[rows, last]).abs().max().item()
        print(f"{name}: largest difference {difference:.1e} of {theirs.abs().max().item():.1f}")
        np.testing.assert_allclose(mine[rows, last], theirs[rows, last], atol=1e-5)
        np.testing.assert_allclose(theirs[rows, last][:, tiny_ofa.SHOWN], tiny_ofa.REFERENCE[name], atol=1e-5)
