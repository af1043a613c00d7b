"""Errors a user may see. Each message is one paragraph: what is wrong, what was expected, what to do."""

from __future__ import annotations


class RadFindError(Exception):
    """Base of every error RadFind raises on purpose; the text is meant for a user."""


class InputError(RadFindError):
    """The caller gave something unusable (exit code 2, HTTP 4xx)."""


class ImageError(InputError):
    """An image or series cannot be read, or is not what was asked for."""


class PromptError(InputError):
    """A prompt is empty, too long, outside the image, or contradicts itself."""


class NotSupportedError(InputError):
    """No available engine can do what was asked. Different from "looked for and not found"."""


class EngineError(RadFindError):
    """An engine failed although its input was sound (exit code 1, HTTP 5xx)."""


class CancelledError(RadFindError):
    """The caller cancelled the work."""
