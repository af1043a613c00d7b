"""A trivial MONAI Label app: what plain MONAI Label lets through, its tasks show."""

import gzip
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
from monailabel.tasks.activelearning.first import First
from monailabel.tasks.activelearning.random import Random
from monailabel.tasks.scoring.dice import Dice


class Echo(InferTask):
    """Says which image it was given and how that file begins."""

    def __init__(self):
        super().__init__(type=InferType.OTHERS, labels=[], dimension=3, description="echo", config={"text": ""})

    def is_valid(self):
        return True

    def __call__(self, request):
        path = Path(str(request["image"]))
        head = path.read_bytes()[:20].decode("latin-1") if path.is_file() else ""
        return None, {"image": str(path), "model": request.get("model"), "head": head}


class Sleep(Echo):
    def __call__(self, request):
        end = time.monotonic() + float(request.get("seconds", 1.0))
        while time.monotonic() < end:
            if "context" in request:
                request["context"].step(0.5)
            time.sleep(0.02)
        return None, {"slept": True}


class Quick(Echo):
    """A 2-D segmentation of a cached 512 x 512 slice that takes 20 ms and returns a small file."""

    slice = np.add.outer(np.arange(512), np.arange(512)).astype(np.int16)

    def __call__(self, request):
        end = time.monotonic() + 0.020
        handle, name = tempfile.mkstemp(suffix=".nrrd")
        mask = (self.slice > 300).astype(np.uint8)
        header = b"NRRD0004\ntype: uchar\ndimension: 2\nsizes: 512 512\nencoding: gzip\n\n"
        with os.fdopen(handle, "wb") as file:
            file.write(header + gzip.compress(mask.tobytes(), 1))
        time.sleep(max(0.0, end - time.monotonic()))
        return name, {"label_names": {"bright": 1}}


class PlainApp(MONAILabelApp):
    def __init__(self, app_dir, studies, conf):
        super().__init__(app_dir, studies, conf, name="plain", description="plain", version="1", labels=["spleen"])

    def init_infers(self):
        return {"echo": Echo(), "sleep": Sleep(), "quick": Quick()}

    def init_strategies(self):
        return {"random": Random(), "first": First()}

    def init_scoring_methods(self):
        return {"dice": Dice()}
