"""Nothing goes to a server before the user has agreed, once for each server."""

from __future__ import annotations

from typing import Callable

from .Address import parseAddress
from .Settings import Settings


class Consent:
    """Arguments:
    ask: shows a paragraph, returns whether the user agrees.
    """

    def __init__(self, settings: Settings, ask: Callable[[str], bool]) -> None:
        self._settings = settings
        self._ask = ask

    def given(self, url: str, nbytes: int) -> bool:
        """Whether `nbytes` of voxels may go to a server; asks when that was not said yet."""
        if not self._settings.consented(url):
            size = f"{nbytes / 1e6:.0f} MB" if nbytes >= 1e6 else f"{nbytes / 1e3:.0f} kB"
            clear = " The connection is NOT encrypted: others on the network can read it." * parseAddress(url).exposed
            agreed = self._ask(
                f"This will be sent to {url}: the volume ({size}: its voxels and their position, no DICOM header) and "
                f"your text as you typed or pasted it.{clear} A series that the server already has is only named to "
                "it.\n\nAgree for this server? You can take it back in the section Server."
            )
            self._settings.setConsent(url, agreed)
        return self._settings.consented(url)
