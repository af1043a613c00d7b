"""HTTP requests on a worker thread: streamed, cancellable, with errors that say what to do."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import socket
import ssl
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Callable

from .Address import Address
from .Cancellation import Cancellation
from .Errors import Cancelled, ConnectionFailed, RadFindError, ServerError

CHUNK = 256 * 1024
CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 60.0
"""Longest silence. Our server sends a heartbeat every 15 s while it works."""
MAX_ANSWER = 1 << 31


@dataclasses.dataclass(frozen=True)
class Body:
    """What is sent.

    Arguments:
        chunks: called once per attempt, gives the bytes in pieces.
        length: of all pieces.
    """

    chunks: Callable[[], Iterable[Any]]
    length: int
    contentType: str

    @classmethod
    def json(cls, value: Any) -> Body:
        data = json.dumps(value).encode()
        return cls(lambda: [data], len(data), "application/json")


class Transport:
    """Requests to one server.

    Arguments:
        token: bearer token, or "".
        caFile: PEM file of the authority that signed the server's certificate; "" for the system's authorities.
    """

    def __init__(
        self, address: Address, token: str = "", caFile: str = "", answerSeconds: float = ANSWER_SECONDS
    ) -> None:
        self.address = address
        self._token = token.strip()
        self._caFile = caFile.strip()
        self._answerSeconds = answerSeconds

    @contextlib.contextmanager
    def open(
        self,
        method: str,
        path: str,
        cancellation: Cancellation,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        onSent: Callable[[int], None] | None = None,
        answerSeconds: float | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        """Send a request and give the answer while it arrives. The status is checked.

        Raises:
            Cancelled, ConnectionFailed, ServerError.
        """
        connection = self._connection(answerSeconds or self._answerSeconds)
        try:
            with self._explained(cancellation):
                cancellation.check()
                connection.connect()
                connection.sock.settimeout(answerSeconds or self._answerSeconds)
                cancellation.hold(connection.sock)
                self._send(connection, method, path, body, headers, cancellation, onSent)
                response = connection.getresponse()
                if response.status >= 300:
                    raise _refusal(response)
                yield response
        finally:
            with contextlib.suppress(Cancelled):
                cancellation.hold(None)
            connection.close()

    def read(self, method: str, path: str, cancellation: Cancellation, **options: Any) -> tuple[bytes, str]:
        """The whole answer and its content type.

        Arguments:
            onReceived: told (bytes so far, bytes in all or 0).
        """
        onReceived = options.pop("onReceived", None)
        with self.open(method, path, cancellation, **options) as response:
            total = int(response.getheader("Content-Length") or 0)
            parts, size = [], 0
            while True:
                cancellation.check()
                chunk = response.read(CHUNK)
                if not chunk:
                    break
                parts.append(chunk)
                size += len(chunk)
                if size > MAX_ANSWER:
                    raise ServerError("The answer is larger than 2 GB and was not taken. Ask for less at once.")
                if onReceived is not None:
                    onReceived(size, total)
            if size < total:
                raise ConnectionFailed(f"The answer was cut off after {size} of {total} bytes. Ask again.")
            return b"".join(parts), response.getheader("Content-Type") or ""

    def json(self, method: str, path: str, cancellation: Cancellation, **options: Any) -> Any:
        """The answer as JSON."""
        data, _ = self.read(method, path, cancellation, **options)
        return parsedJson(data)

    def _send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: Body | None,
        headers: Mapping[str, str] | None,
        cancellation: Cancellation,
        onSent: Callable[[int], None] | None,
    ) -> None:
        connection.putrequest(method, self.address.prefix + path)
        fields = {"Accept": "*/*", "User-Agent": "RadFind-Slicer", **(headers or {})}
        if self._token:
            fields["Authorization"] = f"Bearer {self._token}"
        if body is not None:
            fields["Content-Type"], fields["Content-Length"] = body.contentType, str(body.length)
        elif method in ("POST", "PUT"):
            fields["Content-Length"] = "0"
        for name, value in fields.items():
            connection.putheader(name, value)
        connection.endheaders()
        sent = 0
        try:
            for chunk in body.chunks() if body is not None else ():
                cancellation.check()
                connection.send(chunk)
                sent += len(chunk)
                if onSent is not None:
                    onSent(sent)
        except (BrokenPipeError, ConnectionResetError):
            # The server may have answered (413, 401) and hung up without reading on: its answer says more.
            cancellation.check()

    def _connection(self, seconds: float) -> http.client.HTTPConnection:
        host, port, timeout = self.address.host, self.address.port, min(CONNECT_SECONDS, seconds)
        if self.address.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=timeout)
        try:
            context = ssl.create_default_context(cafile=self._caFile or None)
        except (OSError, ssl.SSLError):
            raise RadFindError(
                f"The certificate file '{self._caFile}' cannot be read as PEM. Choose another."
            ) from None
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=context)

    @contextlib.contextmanager
    def _explained(self, cancellation: Cancellation) -> Iterator[None]:
        """Turn whatever the network raises into a sentence; after `cancel` it is always Cancelled."""
        try:
            yield
        except RadFindError:
            cancellation.check()
            raise
        except Exception as error:
            cancellation.check()
            raise self._explanation(error) from error

    def _explanation(self, error: Exception) -> Exception:
        url = self.address.url
        if isinstance(error, ssl.SSLCertVerificationError):
            return ConnectionFailed(
                f"The certificate of {url} is not trusted ({error.verify_message}). "
                "If your hospital signs its own certificates, choose its CA file."
            )
        if isinstance(error, ssl.SSLError):
            return ConnectionFailed(
                f"{url} does not speak TLS. If it is meant to be unencrypted, type http:// before the address."
            )
        if isinstance(error, socket.gaierror):
            return ConnectionFailed(f"There is no computer called '{self.address.host}' on this network.")
        if isinstance(error, ConnectionRefusedError):
            return ConnectionFailed(f"Nothing answers at {url}: is the server started, and is the port right?")
        if isinstance(error, socket.timeout):
            return ConnectionFailed(f"{url} did not answer in time. The network may be blocked, or the server busy.")
        if isinstance(error, http.client.IncompleteRead):
            return ConnectionFailed(f"The answer was cut off after {len(error.partial)} bytes. Ask again.")
        if isinstance(error, (http.client.RemoteDisconnected, ConnectionError)):
            return ConnectionFailed(
                f"{url} hung up in the middle. Ask again; if it stays so, look at the server's log."
            )
        if isinstance(error, http.client.HTTPException):
            return ConnectionFailed(f"What answers at {url} does not speak HTTP. Is the port right, and https needed?")
        if isinstance(error, OSError):
            return ConnectionFailed(f"{url} cannot be reached ({error.strerror or error}).")
        return error


def parsedJson(data: bytes) -> Any:
    """Raises ServerError: it is not JSON."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise ServerError("The answer is not JSON. Is this really the address of a RadFind server?") from None


def _refusal(response: http.client.HTTPResponse) -> ServerError:
    status = response.status
    try:
        value = json.loads(response.read(64 * 1024))
        detail = value.get("detail", "") if isinstance(value, dict) else ""
        detail = detail if isinstance(detail, str) else json.dumps(detail)
    except (ValueError, OSError, http.client.HTTPException):
        detail = ""
    if status in (301, 302, 303, 307, 308):
        return ServerError(f"The server points to {response.getheader('Location')}. Type that address.", status)
    said = {
        401: "The server wants a token, or does not know this one. Ask its operator for one and paste it.",
        403: "This token may not do that. Ask the server's operator for more rights.",
        413: "The volume is larger than the server takes. Crop it (module Crop Volume) and ask again.",
        429: "The server is busy: too many questions wait. Try again in a minute.",
        503: "The server is still loading. Try again in half a minute.",
    }.get(status, "")
    text = " ".join(part for part in (said, detail) if part)
    return ServerError(text or f"The server answered with status {status} and no explanation.", status)
