"""What the gateway answers when it refuses: a status, one sentence, sometimes a header."""

from __future__ import annotations

from collections.abc import Mapping

from radfind.errors import CancelledError, InputError, NotSupportedError, RadFindError

CLIENT_CLOSED = 499
"""nginx's code for "the client went away or cancelled"; never seen by the client itself."""


class Refusal(Exception):  # noqa: N818 - it is an answer, not a fault
    """Ends a request with this status and detail."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


def refusal_for(error: BaseException) -> Refusal:
    """The answer to a client for an error raised while its request was worked on.

    Errors that are not RadFind's own are faults: their text may hold patient data or paths and is not shown.
    """
    if isinstance(error, Refusal):
        return error
    if isinstance(error, CancelledError):
        return Refusal(CLIENT_CLOSED, "The job was cancelled.")
    if isinstance(error, NotSupportedError):
        return Refusal(422, str(error))
    if isinstance(error, InputError):
        return Refusal(400, str(error))
    if isinstance(error, RadFindError):
        return Refusal(500, str(error))
    name = type(error).__name__  # MONAI Label's own, by name: importing it takes half a minute
    message = str(getattr(error, "msg", error))
    if name in ("ImageNotFoundException", "LabelNotFoundException"):
        return Refusal(404, message)
    if name == "MONAILabelException":
        return Refusal(400, message)
    if isinstance(error, OSError) and error.errno is not None:
        import errno

        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return Refusal(507, "The server's disk is full; nothing was changed. Free space there and try again.")
    return Refusal(500, f"The server failed with an unexpected {name}. Its log says where.")
