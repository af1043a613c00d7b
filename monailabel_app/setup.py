"""What the app is made of: its tasks, strategies and datastore."""

from __future__ import annotations

from pathlib import Path

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.infer_v2 import InferTask
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.tasks.activelearning.random import Random

import radfind
from monailabel_app.strategies import First
from monailabel_app.studies import StudiesDatastore
from monailabel_app.tasks.bookmarks import BookmarksTask
from monailabel_app.tasks.rank import RankTask
from monailabel_app.tasks.segment import SegmentTask
from monailabel_app.tasks.verify import VerifyTask
from monailabel_app.volumes import VolumeCache

NAME = "RadFind"
VERSION = radfind.__version__
DESCRIPTION = (
    "Text or visual prompts in; labelmaps, ranked slices and verdicts out. Research software, not a medical device."
)


def datastore(studies: str) -> Datastore:
    """The datastore for `studies`: a folder of scans."""
    return StudiesDatastore(Path(studies))


def infers(store: Datastore) -> dict[str, InferTask]:
    """All tasks, over one shared cache of volumes."""
    volumes = VolumeCache()
    return {
        "radfind_segment": SegmentTask(volumes),
        "radfind_bookmarks": BookmarksTask(volumes),
        "radfind_rank": RankTask(volumes),
        "radfind_verify": VerifyTask(volumes),
    }


def strategies() -> dict[str, Strategy]:
    return {"random": Random(), "first": First()}
