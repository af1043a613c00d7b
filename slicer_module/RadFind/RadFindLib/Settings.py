"""What is kept between sessions in Slicer's settings: server, token, CA file, consent. Never in the scene."""

from __future__ import annotations

from typing import Any

_PREFIX = "RadFind/"


class Settings:
    """Over anything with QSettings' ``value(key, default)``, ``setValue`` and ``remove``."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def _text(self, name: str, default: str = "") -> str:
        value = self._store.value(_PREFIX + name, default)
        return default if value is None else str(value)

    @property
    def server(self) -> str:
        return self._text("server", "localhost:8000")

    @server.setter
    def server(self, value: str) -> None:
        self._store.setValue(_PREFIX + "server", value)

    def token(self, url: str) -> str:
        return self._text(f"token/{_key(url)}")

    def setToken(self, url: str, value: str) -> None:
        if value:
            self._store.setValue(_PREFIX + f"token/{_key(url)}", value)
        else:
            self._store.remove(_PREFIX + f"token/{_key(url)}")

    @property
    def caFile(self) -> str:
        return self._text("caFile")

    @caFile.setter
    def caFile(self, value: str) -> None:
        self._store.setValue(_PREFIX + "caFile", value)

    def consented(self, url: str) -> bool:
        """Whether the user agreed that images go to this server."""
        return self._text(f"consent/{_key(url)}") == "yes"

    def setConsent(self, url: str, value: bool) -> None:
        if value:
            self._store.setValue(_PREFIX + f"consent/{_key(url)}", "yes")
        else:
            self._store.remove(_PREFIX + f"consent/{_key(url)}")


def _key(url: str) -> str:
    """QSettings divides groups at slashes."""
    return url.replace("/", "_")
