"""Keeps this process off the network: sockets reach this machine only, and names of others are not looked up.

What was refused is also written to the file in ``RADFIND_REFUSED``, because libraries swallow such errors.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from pathlib import Path
from typing import Any


def is_here(host: str) -> bool:
    """Whether an address or a name is this machine's own."""
    try:
        address = ipaddress.ip_address(host.split("%")[0])
    except ValueError:
        return host in ("", "localhost", "localhost.localdomain", socket.gethostname())
    return address.is_loopback or address.is_unspecified


def keep() -> None:
    """Refuse everything else from now on."""
    real_lookup = socket.getaddrinfo

    def guarded(name: str) -> Any:
        real = getattr(socket.socket, name)

        def method(self: socket.socket, *arguments: Any) -> Any:
            address = arguments[-1]
            if self.family in (socket.AF_INET, socket.AF_INET6) and not is_here(str(address[0])):
                # Connecting a datagram socket sends nothing: pynetdicom asks the system for its own address that way.
                asks_only = self.type == socket.SOCK_DGRAM and name != "sendto"
                raise PermissionError("refused" if asks_only else _refused(f"connect to {address[0]}"))
            return real(self, *arguments)

        return method

    def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name is not None and not is_here(name) and not _is_address(name):
            raise socket.gaierror(socket.EAI_NONAME, _refused(f"look up {name}"))
        return real_lookup(host, *arguments, **options)

    for name in ("connect", "connect_ex", "sendto"):
        setattr(socket.socket, name, guarded(name))
    socket.getaddrinfo = getaddrinfo


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.split("%")[0])
    except ValueError:
        return False
    return True


def _refused(what: str) -> str:
    if record := os.environ.get("RADFIND_REFUSED"):
        with Path(record).open("a") as file:
            file.write(f"{what} ({' '.join(sys.argv[:2])})\n")
    return f"a test tried to {what}: tests stay on loopback"
