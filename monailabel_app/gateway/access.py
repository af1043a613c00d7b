"""Who is asking, and whether they may."""

from __future__ import annotations

import dataclasses

from starlette.requests import Request

from monailabel_app.gateway.errors import Refusal
from monailabel_app.gateway.policy import Role


@dataclasses.dataclass(frozen=True)
class Who:
    """A known caller."""

    name: str
    role: Role

    def check(self, role: Role) -> None:
        """Raises Refusal 403: a higher role is needed."""
        if self.role < role:
            raise Refusal(403, f"This needs the role {role.name.lower()}; you have {self.role.name.lower()}.")


def who(request: Request) -> Who:
    """The caller of a request that passed the door."""
    caller = request.scope["radfind.who"]
    assert isinstance(caller, Who)
    return caller
