"""Tasks that `TaskProcess` runs in its process for the tests."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

from monailabel.interfaces.tasks.infer_v2 import InferTask

from radfind.errors import NotSupportedError


class StubbornError(Exception):
    pass


class Fake(InferTask):
    """Does what the request's "do" says."""

    asks = "rank"

    def __init__(self, store: Any) -> None:
        super().__init__(type="others", labels=[], dimension=3, description="a fake", config={"text": "as ever"})
        self._store = store
        self._calls = 0
        self._meet = threading.Barrier(2)

    def is_valid(self) -> bool:
        return True

    def __call__(self, request: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
        self._calls += 1
        context = request["context"]
        match request["do"]:
            case "tell":
                return "/a/file.nrrd", {"calls": self._calls, "pid": os.getpid(), "text": request["text"]}
            case "ask":
                return None, {"images": self._store.list_images(), "uri": self._store.get_image_uri(request["image"])}
            case "write":
                self._store.save_label("scan", "file", "tag", {})
            case "meet":
                self._meet.wait(30)
            case "refuse":
                raise NotSupportedError("The fake does not do that.")
            case "foreign":
                raise StubbornError("patient John Doe")
            case "disk":
                raise OSError(28, "No space left on device")
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "step":
                context.step(0.25, "begun")
                while True:
                    time.sleep(0.01)
                    context.step(0.5, "working")
            case "stubborn":
                context.step(0.5, "not listening")
                time.sleep(600)
        return None, {}


def tasks(store: Any) -> dict[str, InferTask]:
    return {"fake": Fake(store)}


def broken(store: Any) -> dict[str, InferTask]:
    raise NotSupportedError("There are no tasks here.")
