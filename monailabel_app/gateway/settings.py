"""What an operator may set, and the combinations that are refused."""

from __future__ import annotations

import dataclasses
import hashlib
import ipaddress
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from monailabel_app.gateway.oidc import OidcSettings
from monailabel_app.gateway.policy import DOORS
from radfind.errors import InputError


@dataclasses.dataclass(frozen=True)
class Settings:
    """How the server runs.

    Arguments:
        studies: folder of scans, or a DICOMweb URL.
        state: folder for everything the server keeps besides scans and labels.
        host, port: where it listens.
        tls_certificate, tls_key: PEM files; both or none.
        slots: places per engine or device, e.g. {"builtin": 2, "cuda:0": 1}.
        open_doors: subset of `policy.DOORS`.
        cors: origins of web pages that may ask.
        hosts: further names the server is reached under.
        allow_plain_http: listen beyond this machine without TLS (behind a proxy that has it).
        allow_anonymous: listen beyond this machine without login.
        max_body: largest request body, bytes.
        result_seconds: how long a job's result is kept.
        rate: requests per second one caller may make, in the long run.
        oidc: the login service, if any.
        trusted_proxies: addresses whose X-Forwarded-For is believed, comma-separated.
        decode_memory: address space of the child that decodes an upload, bytes.
    """

    studies: str
    state: Path
    host: str = "127.0.0.1"
    port: int = 8000
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    slots: Mapping[str, int] = dataclasses.field(default_factory=dict)
    open_doors: frozenset[str] = frozenset()
    cors: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    allow_plain_http: bool = False
    allow_anonymous: bool = False
    max_body: int = 4 << 30
    result_seconds: float = 3600.0
    decode_memory: int = 6 << 30
    rate: float = 200.0
    oidc: OidcSettings | None = None
    trusted_proxies: str = "127.0.0.1"

    def __post_init__(self) -> None:
        unknown = self.open_doors - set(DOORS)
        if unknown:
            raise InputError(f"There is no door called {', '.join(sorted(unknown))}. Doors: {', '.join(DOORS)}.")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise InputError("TLS needs both a certificate and its key: give --tls-certificate and --tls-key.")

    @property
    def local(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def check_exposure(self, *, login: bool) -> None:
        """Refuse to listen beyond this machine in the clear or without login.

        Raises:
            InputError: naming what is missing and the option that allows it all the same.
        """
        if self.local:
            return
        if self.tls_certificate is None and not self.allow_plain_http:
            raise InputError(
                f"Refusing to listen on {self.host} without TLS: scans and reports would cross the network readable. "
                "Give --tls-certificate and --tls-key, listen on 127.0.0.1 behind a proxy, "
                "or add --allow-plain-http when something else protects the connection."
            )
        if not login and not self.allow_anonymous:
            raise InputError(
                f"Refusing to listen on {self.host} without login: anyone on the network could read and change labels. "
                "Make a token with 'radfind token create', set up OpenID Connect, or add --allow-anonymous."
            )


def parsed_slots(texts: Sequence[str]) -> dict[str, int]:
    """``["builtin=2", "cuda:0=1"]`` as a mapping.

    Raises:
        InputError: one is not NAME=COUNT.
    """
    slots = {}
    for text in texts:
        name, _, count = text.rpartition("=")
        if not name or not count.isdecimal() or not 1 <= int(count) <= 64:
            raise InputError(f"--slots takes NAME=COUNT with a count from 1 to 64, e.g. builtin=2, not {text!r}.")
        slots[name] = int(count)
    return slots


def default_state(studies: str) -> Path:
    """The state folder of a studies folder: one per studies, below $XDG_STATE_HOME/radfind."""
    home = os.environ.get("RADFIND_STATE_HOME") or os.environ.get("XDG_STATE_HOME")
    root = Path(home) if home else Path.home() / ".local" / "state"
    place = studies if studies.startswith(("http://", "https://")) else str(Path(studies).resolve())
    name = "".join(c if c.isalnum() else "-" for c in Path(place).name)[:40] or "studies"
    return root / "radfind" / f"{name}-{hashlib.sha256(place.encode()).hexdigest()[:8]}"


def make_state(state: Path) -> Path:
    """Create the state folder, readable for its owner only.

    Raises:
        InputError: it cannot be created or written.
    """
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        for part in ("uploads", "results", "cache", "sessions"):
            (state / part).mkdir(exist_ok=True, mode=0o700)
        if not os.access(state, os.W_OK):
            raise PermissionError(13, "not writable")
    except OSError as error:
        raise InputError(
            f"The state folder {state} cannot be written ({error.strerror}). Name another with --state."
        ) from error
    return state
