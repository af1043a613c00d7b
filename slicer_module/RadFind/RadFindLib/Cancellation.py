"""A way to stop work on another thread, also while it waits for the network."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Any

from .Errors import Cancelled


class Cancellation:
    """Cancelled at most once; `cancel` may be called from any thread."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._socket: Any = None

    @property
    def cancelled(self) -> bool:
        return self._event.is_set()

    def check(self) -> None:
        """Raises Cancelled: someone called `cancel`."""
        if self._event.is_set():
            raise Cancelled

    def wait(self, seconds: float) -> None:
        """Sleep, but wake and raise Cancelled at once when someone calls `cancel`."""
        self._event.wait(seconds)
        self.check()

    def hold(self, connection: Any) -> None:
        """Remember the socket that the work waits on, or None."""
        with self._lock:
            self._socket = connection
        self.check()

    def cancel(self) -> None:
        self._event.set()
        with self._lock:
            if self._socket is not None:
                with contextlib.suppress(OSError):  # it is closed already
                    # The plain socket's shutdown, also for TLS: it wakes a thread blocked in send or receive.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
