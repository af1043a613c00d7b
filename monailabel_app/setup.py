"""What the app is made of: its tasks, strategies and datastore."""

from __future__ import annotations

import os
from pathlib import Path

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.infer_v2 import InferTask
from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.strategy import Strategy

import radfind
from monailabel_app.dicomweb import DicomWebDatastore
from monailabel_app.gateway.settings import default_state
from monailabel_app.scoring import LabelDice
from monailabel_app.strategies import AtRandom, First, LeastExplained
from monailabel_app.studies import StudiesDatastore
from monailabel_app.task_process import HostedTask, TaskProcess
from monailabel_app.tasks.bookmarks import BookmarksTask
from monailabel_app.tasks.deepgrow import ClickTask
from monailabel_app.tasks.export import ExportTask
from monailabel_app.tasks.rank import RankTask
from monailabel_app.tasks.report import ReportTask
from monailabel_app.tasks.scribbles import ScribblesTask
from monailabel_app.tasks.segment import SegmentTask
from monailabel_app.tasks.verify import VerifyTask
from monailabel_app.volumes import VolumeCache
from radfind.pacs import connect

NAME = "RadFind"
VERSION = radfind.__version__
DESCRIPTION = (
    "Text or visual prompts in; labelmaps, ranked slices and verdicts out. Research software, not a medical device."
)
LABELS = ("object",)
"""The vocabulary is open, but stock clients begin with a segment for each of these: Slicer has one to click into, and
OHIF, which knows no other names, has one to draw. What is found brings its own name."""


def datastore(studies: str) -> Datastore:
    """The datastore for `studies`: a folder of scans, or the URL of a DICOMweb archive.

    User and password of the archive come from MONAI Label's own settings, ``MONAI_LABEL_DICOMWEB_USERNAME`` and
    ``MONAI_LABEL_DICOMWEB_PASSWORD``; ``MONAI_LABEL_DICOMWEB_CACHE_PATH`` is where series and labels are kept, by
    default the server's state folder of that URL.
    """
    if not studies.startswith(("http://", "https://")):
        return StudiesDatastore(Path(studies))
    user, password = (os.environ.get(f"MONAI_LABEL_DICOMWEB_{name}") for name in ("USERNAME", "PASSWORD"))
    cache = os.environ.get("MONAI_LABEL_DICOMWEB_CACHE_PATH")
    root = Path(cache) if cache else default_state(studies) / "archive"
    return DicomWebDatastore(connect(studies, user=user, password=password), root)


def tasks(store: Datastore) -> dict[str, InferTask]:
    """All tasks, over one shared cache of volumes. Made in the process that runs them (see `process`)."""
    volumes = VolumeCache()
    return {
        "radfind_segment": SegmentTask(volumes, store),
        "radfind_deepgrow": ClickTask(volumes, type="deepgrow"),
        "radfind_deepedit": ClickTask(volumes, type="deepedit"),
        "radfind_scribbles": ScribblesTask(volumes),
        "radfind_bookmarks": BookmarksTask(volumes),
        "radfind_rank": RankTask(volumes),
        "radfind_verify": VerifyTask(volumes),
        "radfind_report": ReportTask(volumes, store),
        "radfind_export": ExportTask(volumes, store),
    }


def process(store: Datastore) -> TaskProcess:
    """The process the tasks run in, started: it is ready when the rest of MONAI Label is."""
    started = TaskProcess(store)
    started.start()
    return started


def infers(store: Datastore, where: TaskProcess) -> dict[str, InferTask]:
    """All tasks as MONAI Label sees them: described here, run there."""
    return {name: HostedTask(name, task, where) for name, task in tasks(store).items()}


def strategies() -> dict[str, Strategy]:
    return {"random": AtRandom(), "first": First(), "least_explained": LeastExplained()}


def scoring() -> dict[str, ScoringMethod]:
    return {"dice": LabelDice()}
