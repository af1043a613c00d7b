"""Bearer tokens: shown once when made, kept as argon2 hashes, revoked by id."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import secrets
import threading
import time
from pathlib import Path
from typing import Any

from filelock import FileLock

from monailabel_app.gateway.policy import Role
from monailabel_app.labels import write_atomically
from radfind.errors import InputError

_FORM = re.compile(r"rf_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_REMEMBER = 1024


@dataclasses.dataclass(frozen=True)
class Token:
    """What is known of a token: never the token itself."""

    id: str
    name: str
    role: Role
    hash: str
    created: float
    expires: float | None = None
    revoked: float | None = None

    def usable(self, now: float) -> bool:
        return self.revoked is None and (self.expires is None or now < self.expires)


class TokenStore:
    """The tokens of one state folder; changes by other processes are seen at once.

    The secret part has 256 random bits, so argon2's cost is kept moderate (19 MiB, 2 passes: OWASP's minimum);
    a token that was verified is remembered by its SHA-256 for as long as the file does not change.
    """

    def __init__(self, state: Path) -> None:
        self._file = state / "tokens.json"
        self._lock = threading.Lock()
        self._version: tuple[int, int] | None = None
        self._tokens: dict[str, Token] = {}
        self._verified: dict[str, str] = {}

    def create(self, name: str, role: Role, *, days: float | None = None) -> str:
        """Make a token and return it; it cannot be shown again.

        Raises:
            InputError: the name is not allowed.
        """
        if not _NAME.fullmatch(name):
            raise InputError(f"The name {name!r} is not allowed: use letters, digits, '.', '_', '-' and '@'.")
        token_id, secret, now = secrets.token_hex(6), secrets.token_urlsafe(32), time.time()
        expires = None if days is None else now + days * 86400.0
        token = Token(token_id, name, role, _hasher().hash(secret), now, expires)
        with self._changing() as tokens:
            tokens[token_id] = token
        return f"rf_{token_id}_{secret}"

    def revoke(self, token_id: str) -> Token:
        """Make a token useless from now on.

        Raises:
            InputError: there is no such token.
        """
        with self._changing() as tokens:
            if token_id not in tokens:
                raise InputError(f"There is no token with the id {token_id!r}. 'radfind token list' shows the ids.")
            tokens[token_id] = dataclasses.replace(tokens[token_id], revoked=time.time())
            return tokens[token_id]

    def tokens(self) -> list[Token]:
        """All tokens ever made, oldest first."""
        self._refresh()
        return sorted(self._tokens.values(), key=lambda token: token.created)

    def any(self) -> bool:
        """Whether a token was ever made: revoking the last one closes the server, it does not open it."""
        self._refresh()
        return bool(self._tokens)

    def known(self, text: str) -> Token | None:
        """The usable token that `text` is, when it was verified before: cheap."""
        self._refresh()
        token = self._tokens.get(self._verified.get(_digest(text), ""))
        return token if token is not None and token.usable(time.time()) else None

    def verify(self, text: str) -> Token | None:
        """The usable token that `text` is, or None. Takes some 20 ms: call it off the event loop."""
        from argon2.exceptions import VerifyMismatchError

        form = _FORM.fullmatch(text)
        self._refresh()
        token = self._tokens.get(form[1]) if form else None
        if form is None or token is None or not token.usable(time.time()):
            return None
        try:
            _hasher().verify(token.hash, form[2])
        except VerifyMismatchError:
            return None
        with self._lock:
            if len(self._verified) >= _REMEMBER:
                self._verified.clear()
            self._verified[_digest(text)] = token.id
        return token

    def _refresh(self) -> None:
        try:
            stat = self._file.stat()
        except FileNotFoundError:
            return
        version = (stat.st_mtime_ns, stat.st_ino)  # every change is a new file: the inode tells what the clock may not
        with self._lock:
            if version != self._version:
                entries = json.loads(self._file.read_text(encoding="utf-8"))["tokens"]
                self._tokens = {entry["id"]: _from_json(entry) for entry in entries}
                self._verified.clear()
                self._version = version

    def _changing(self) -> _Change:
        return _Change(self)


class _Change:
    """Holds the lock between reading the tokens and writing them back."""

    def __init__(self, store: TokenStore) -> None:
        self._store = store
        self._lock = FileLock(store._file.with_suffix(".lock"))

    def __enter__(self) -> dict[str, Token]:
        self._lock.acquire()
        self._store._refresh()
        self._tokens = dict(self._store._tokens)
        return self._tokens

    def __exit__(self, kind: object, *rest: object) -> None:
        try:
            if kind is None:
                entries = [_to_json(token) for token in self._tokens.values()]
                write_atomically(self._store._file, json.dumps({"tokens": entries}, indent=1))
        finally:
            self._lock.release()


def _hasher() -> Any:
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _to_json(token: Token) -> dict[str, Any]:
    return {**dataclasses.asdict(token), "role": token.role.name.lower()}


def _from_json(entry: dict[str, Any]) -> Token:
    return Token(**{**entry, "role": Role.named(entry["role"])})
