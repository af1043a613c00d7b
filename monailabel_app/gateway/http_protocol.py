"""uvicorn's HTTP/1.1 protocol with deadlines for two kinds of clients that would hold a connection for as long as they
like: those that send the head of a request a byte at a time, and those that do not take their answer."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 15.0
"""Longest time for a whole request head."""
TAKE_SECONDS = 120.0
"""Longest time for a client to take any more of what is waiting for it."""
_USER_TIMEOUT = getattr(socket, "TCP_USER_TIMEOUT", None)
"""Linux ends such connections itself, also those that only wait to be closed. Other systems do not."""


class GuardedH11(H11Protocol):
    """Ends connections that take longer than `HEAD_SECONDS` or `TAKE_SECONDS`."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if _USER_TIMEOUT is not None:
            client = transport.get_extra_info("socket")
            client.setsockopt(socket.IPPROTO_TCP, _USER_TIMEOUT, round(TAKE_SECONDS * 1000))
        self._await_head()

    def data_received(self, data: bytes) -> None:
        self._await_head()
        super().data_received(data)
        if not self._idle():
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _await_head(self) -> None:
        if self._deadline is None and self._idle():
            self._deadline = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if self._idle() and not self.transport.is_closing():
            self.transport.close()
