"""A trivial MONAI Label app: what plain MONAI Label lets through, its tasks show."""

import time
from pathlib import Path

from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType


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


class PlainApp(MONAILabelApp):
    def __init__(self, app_dir, studies, conf):
        super().__init__(app_dir, studies, conf, name="plain", description="plain", version="1")

    def init_infers(self):
        return {"echo": Echo(), "sleep": Sleep()}
