"""A program with a job under way in a worker, for the test that kills it. Writes "worker forked." pids to a file."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import host_engines
import numpy as np

from radfind.engines.api import Context
from radfind.engines.host import HostedEngine
from radfind.prompts import TextPrompt
from radfind.volume import Geometry, Volume

volume = Volume(np.zeros((6, 96, 96), np.int16), Geometry.from_parts((6, 96, 96)), "CT")
engine = HostedEngine("host_engines:TrialEngine", describe=host_engines.describe)
running = threading.Event()


def job() -> None:
    context = Context(lambda fraction, text: running.set())
    engine.rank(volume, TextPrompt("sleep 6000"), context=context)


threading.Thread(target=job).start()
running.wait()
forked = os.fork()
if forked == 0:
    time.sleep(120)
    os._exit(0)
Path(sys.argv[1]).write_text(f"{engine.status()[0]['pid']} {forked}.")
time.sleep(120)
