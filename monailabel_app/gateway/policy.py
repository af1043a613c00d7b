"""Who may do what: every route that exists, the role it needs, and whether it is closed unless enabled."""

from __future__ import annotations

import dataclasses
import enum
import functools
import re


class Role(enum.IntEnum):
    """Each role may do all that the ones before it may."""

    READER = 1
    ANNOTATOR = 2
    REVIEWER = 3
    ADMIN = 4

    @classmethod
    def named(cls, name: str) -> Role:
        """Raises KeyError: there is no such role."""
        return cls[name.upper()]


DOORS = ("reload", "models", "dataset", "logs", "proxy", "train", "batch")
"""Parts of MONAI Label that are closed unless the operator opens them by name."""


@dataclasses.dataclass(frozen=True)
class Rule:
    """What a route needs.

    Arguments:
        role: the lowest role, or None: anyone.
        door: the door that must be open, if any.
        ours: the gateway answers it; otherwise MONAI Label does.
        route: its name in logs and metrics, without ids.
    """

    role: Role | None
    door: str | None = None
    ours: bool = True
    route: str = ""


_SEGMENT = "[^/]+"
_TABLE: list[tuple[str, str, Rule]] = [
    # the gateway's own
    ("GET|HEAD", "/health", Rule(None)),
    ("GET|HEAD", "/ready", Rule(None)),
    ("GET", "/auth/?", Rule(None)),
    ("POST", "/auth/token", Rule(None)),
    ("GET", "/auth/token/valid", Rule(Role.READER)),
    ("GET", "/metrics", Rule(Role.READER)),
    ("GET", "/radfind/openapi.json", Rule(None)),
    ("GET", "/radfind/status(\\.json)?", Rule(Role.READER)),
    ("GET|POST", "/radfind/jobs", Rule(Role.READER)),
    ("GET|DELETE", f"/radfind/jobs/{_SEGMENT}", Rule(Role.READER)),
    ("GET", f"/radfind/jobs/{_SEGMENT}/(events|result)", Rule(Role.READER)),
    ("GET", "/radfind/labels/history", Rule(Role.READER)),
    ("POST", "/radfind/labels/restore", Rule(Role.REVIEWER)),
    # MONAI Label's contract, answered here
    ("GET", "/info/?", Rule(Role.READER)),
    ("POST", f"/infer/{_SEGMENT}", Rule(Role.READER)),
    ("GET|HEAD", "/datastore/image", Rule(Role.READER)),
    ("PUT", "/datastore/(image)?", Rule(Role.ANNOTATOR)),
    ("PUT", "/datastore/label", Rule(Role.ANNOTATOR)),
    ("PUT", "/session/?", Rule(Role.READER)),
    ("GET", f"/session/{_SEGMENT}", Rule(Role.READER)),
    # MONAI Label's contract, passed on
    ("GET", "/", Rule(Role.READER, ours=False)),
    ("GET", "/(docs|openapi.json|favicon.ico)", Rule(Role.READER, ours=False)),
    ("GET|HEAD", "/static/.+", Rule(Role.READER, ours=False)),
    ("GET|HEAD", "/ohif/.*", Rule(Role.READER, ours=False)),
    ("GET", "/datastore/?", Rule(Role.READER, ours=False)),
    ("GET", "/datastore/(image|label)/info", Rule(Role.READER, ours=False)),
    ("GET|HEAD", "/datastore/label", Rule(Role.READER, ours=False)),
    ("PUT", "/datastore/(image|label)/info", Rule(Role.ANNOTATOR, ours=False)),
    ("PUT", "/datastore/updatelabelinfo", Rule(Role.ANNOTATOR, ours=False)),
    ("DELETE", "/datastore/label", Rule(Role.REVIEWER, ours=False)),
    ("DELETE", "/datastore/(image)?", Rule(Role.ADMIN, ours=False)),
    ("POST", f"/activelearning/{_SEGMENT}", Rule(Role.READER, ours=False)),
    ("DELETE", f"/session/{_SEGMENT}", Rule(Role.READER, ours=False)),
    ("GET", "/scoring/?", Rule(Role.READER, ours=False)),
    ("POST|DELETE", f"/scoring/({_SEGMENT})?", Rule(Role.REVIEWER, ours=False)),
    ("POST", f"/infer/wsi(_v2)?/{_SEGMENT}", Rule(Role.ADMIN, "batch", ours=False)),
    ("GET", "/batch/infer/?", Rule(Role.READER, ours=False)),
    ("POST|DELETE", f"/batch/infer/({_SEGMENT})?", Rule(Role.ADMIN, "batch", ours=False)),
    ("GET", "/train/?", Rule(Role.READER, ours=False)),
    ("POST|DELETE", f"/train/({_SEGMENT})?", Rule(Role.ADMIN, "train", ours=False)),
    ("GET", f"/model/(info/)?{_SEGMENT}", Rule(Role.ADMIN, "models", ours=False)),
    ("PUT|DELETE", f"/model/{_SEGMENT}", Rule(Role.ADMIN, "models", ours=False)),
    ("GET", "/datastore/dataset", Rule(Role.ADMIN, "dataset", ours=False)),
    ("GET", "/logs/(gpu)?", Rule(Role.ADMIN, "logs", ours=False)),
    ("POST", "/reload", Rule(Role.ADMIN, "reload", ours=False)),
    ("GET|POST", "/proxy/dicom/.+", Rule(Role.ADMIN, "proxy", ours=False)),
]
_RULES = [
    (
        frozenset(methods.split("|")),
        re.compile(path),
        dataclasses.replace(rule, route=path.replace(_SEGMENT, "*").replace("\\", "").replace("?", "")),
    )
    for methods, path, rule in _TABLE
]


@functools.lru_cache(maxsize=4096)
def rule_for(method: str, path: str) -> Rule | None:
    """The rule of the first matching route, or None: there is no such route."""
    for methods, pattern, rule in _RULES:
        if method in methods and pattern.fullmatch(path):
            return rule
    return None


def methods_of(path: str) -> list[str]:
    """The methods the path takes; empty when it does not exist."""
    return sorted({m for methods, pattern, _ in _RULES if pattern.fullmatch(path) for m in methods})
