"""The address of a server as people type it."""

from __future__ import annotations

import dataclasses
import ipaddress
import urllib.parse

from .Errors import RadFindError


@dataclasses.dataclass(frozen=True)
class Address:
    """Where a server is.

    Arguments:
        scheme: "http" or "https".
        prefix: the path in front of every route, without a slash at its end.
    """

    scheme: str
    host: str
    port: int
    prefix: str = ""

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.prefix}"

    @property
    def exposed(self) -> bool:
        """Whether what is sent can be read on the way: in the clear, to another computer."""
        return self.scheme == "http" and not _isLoopback(self.host)


def parseAddress(text: str) -> Address:
    """The address meant by ``localhost:8000``, ``https://radfind.hospital.example/ai`` and the like.

    Without a scheme this computer is asked in the clear, and every other one over TLS.

    Raises:
        RadFindError: no address can be read from it.
    """
    typed = text.strip().rstrip("/")
    if not typed.rstrip(":"):
        raise RadFindError("Type the address of a RadFind server, for example localhost:8000.")
    wrong = RadFindError(f"'{text.strip()}' is not an address. Type it like localhost:8000 or https://server.example.")
    try:
        parts = urllib.parse.urlsplit(typed if "://" in text else f"//{typed}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise wrong from None
    if not host or any(c.isspace() for c in typed) or parts.scheme not in ("", "http", "https"):
        raise wrong
    if parts.username or parts.password:
        raise RadFindError("Leave the password out of the address; a token has a field of its own.")
    scheme = parts.scheme or ("http" if _isLoopback(host) else "https")
    default = 8000 if not parts.scheme and _isLoopback(host) else {"http": 80, "https": 443}[scheme]
    return Address(scheme, host, port or default, parts.path)


def _isLoopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
