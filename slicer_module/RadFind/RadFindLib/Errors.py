"""What can go wrong between Slicer and a server, as sentences a user can act on."""

from __future__ import annotations


class RadFindError(Exception):
    """Its text is one sentence or two: what happened, and what to do."""


class ServerError(RadFindError):
    """The server answered, but not with what was asked for.

    Arguments:
        status: the HTTP status, or 0 when the answer itself was unusable.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class ConnectionFailed(RadFindError):
    """The server did not answer, or stopped in the middle."""


class Cancelled(RadFindError):
    """The user stopped the work."""

    def __init__(self) -> None:
        super().__init__("Cancelled.")


def unexpected(error: Exception) -> str:
    """The sentence for a fault of ours; its traceback goes to the log."""
    return f"RadFind failed with an unexpected {type(error).__name__}: {error}"
