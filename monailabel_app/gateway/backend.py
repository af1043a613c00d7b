"""MONAI Label behind the gateway: loaded on a thread while the gateway already answers."""

from __future__ import annotations

import enum
import logging
import threading
from collections.abc import Callable
from typing import Any

from monailabel_app.gateway.errors import Refusal

logger = logging.getLogger(__name__)

Loader = Callable[[], tuple[Any, Any]]


class Stage(str, enum.Enum):
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"


class Backend:
    """The loaded MONAI Label application and its ASGI app.

    Arguments:
        load: returns (ASGI application, MONAILabelApp instance); called once, on a thread.
        on_failure: called with the error when that fails.
    """

    def __init__(self, load: Loader, on_failure: Callable[[BaseException], None] | None = None) -> None:
        self._load = load
        self._on_failure = on_failure
        self._instance: Any = None
        self._application: Any = None
        self.stage = Stage.LOADING
        self._thread = threading.Thread(target=self._run, name="radfind-load", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """Wait for the loading to end, for tests and benches."""
        self._thread.join(seconds)

    def close(self) -> None:
        """End what the app started besides this process, when it has anything."""
        close = getattr(self._instance, "close", None)
        if close is not None:
            close()

    def _run(self) -> None:
        try:
            self._application, self._instance = self._load()
        except BaseException as error:
            self.stage = Stage.FAILED
            logger.error("loading MONAI Label failed: %s", type(error).__name__)
            if self._on_failure is not None:
                self._on_failure(error)
        else:
            self.stage = Stage.READY

    def check_ready(self) -> None:
        """Raises Refusal 503 while there is nothing to ask yet."""
        if self.stage is Stage.LOADING:
            raise Refusal(503, "The server is still loading. Try again in a few seconds.", {"Retry-After": "3"})
        if self.stage is Stage.FAILED:
            raise Refusal(503, "The server could not load. Its log says why.")

    @property
    def application(self) -> Any:
        """MONAI Label's ASGI application."""
        self.check_ready()
        return self._application

    @property
    def instance(self) -> Any:
        """The MONAILabelApp."""
        self.check_ready()
        return self._instance

    @property
    def datastore(self) -> Any:
        return self.instance.datastore()

    def task(self, model: str) -> Any:
        """The inference task called `model`.

        Raises:
            Refusal: 404, there is none.
        """
        task = self.instance._infers.get(model)
        if task is None or not task.is_valid():
            raise Refusal(404, "There is no such model on this server. GET /info/ lists the models.")
        return task
