"""The longest gap in Slicer's UI thread while a 512 x 512 x 300 volume is sent, asked about and answered.

The panel runs off-screen over the real MRML; a server in a process of its own takes the volume, reports progress for
two seconds and answers with a large and a small mask. A ticker on the UI thread notes every gap between two turns of
the event loop. The one call that writes the segments into the scene is timed apart; what else runs in its turn counts.
Then the segments are measured, and the time from Cancel to the end of the worker thread is taken, while the volume is
being sent and while the server works.

    python tests/bench/bench_slicer_ui.py
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "slicer_module"), str(HERE.parents[1] / "slicer_module" / "RadFind")]
SHAPE = (300, 512, 512)
TARGET_MS = 50.0
CANCEL_MS = 100.0


def ball(radius: float) -> np.ndarray:
    k, j, i = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    return (k - 150) ** 2 + (j - 256) ** 2 + (i - 256) ** 2 <= radius**2


def serve() -> None:
    """The server's process: prints its port, then answers until it is ended."""
    from loopback import Loopback
    from RadFindLib import Wire
    from RadFindLib.Geometry import Mask

    with Loopback() as server:
        server.work_seconds = 2.0
        segments = [
            {
                "name": name,
                "mask": Wire.packMask(Mask((0, 0, 0), ball(radius))),
                "color": [200, 60, 60],
                "score": 0.9,
                "terminology": "",
                "prompt": "liver",
                "evidence": [],
            }
            for name, radius in (("large", 110.0), ("small", 8.0))
        ]
        volume = {"shape_kji": list(SHAPE), "affine_ijk_to_lps": np.diag([0.7, 0.7, 1.0, 1.0]).tolist()}
        evidence = {"text": "a nodule", "center_kji": [150, 256, 256], "values": {}}
        slices = [{"rank": n, "index": 140 + n, "score": 1.0 / n, "evidence": [evidence]} for n in range(1, 11)]
        server.answer = {"version": 1, "segments": segments, "slices": slices, "volume": volume, "engine": "bench"}
        print(server.url, flush=True)
        sys.stdin.read()


class Ticker:
    """Notes when the event loop came round."""

    def __init__(self, qt: Any) -> None:
        self.turns: list[float] = []
        self._timer = qt.QTimer()
        self._timer.setInterval(1)
        self._timer.timeout.connect(lambda: self.turns.append(time.perf_counter()))
        self._timer.start()

    def longest(self, without: list[tuple[float, float]]) -> float:
        """Longest gap, ms, less the time of the calls `without` that ran in it."""
        gaps = [
            b - a - sum(end - start for start, end in without if a <= start <= b)
            for a, b in zip(self.turns, self.turns[1:], strict=False)
        ]
        return 1000.0 * max(gaps, default=0.0)


def cancelled_within(widget: Any, logic: Any, stage: str, turn: Any) -> float:
    """Milliseconds from Cancel until the worker thread has ended; `stage` begins the progress message waited for."""
    widget.segment()
    job = logic.jobs.running[-1]
    while not job.message.startswith(stage):
        assert logic.jobs.running, f"the job ended before it said '{stage}'"
        turn(1)
    begin = time.perf_counter()
    logic.jobs.cancel(job)
    while any(thread.name == "RadFind Segment" for thread in threading.enumerate()):
        time.sleep(0.0005)
    return 1000.0 * (time.perf_counter() - begin)


def main() -> int:
    import panel
    import qt
    from RadFindLib.Logic import Logic
    from RadFindLib.Settings import Settings
    from RadFindLib.Volumes import vtkMatrix
    from RadFindLib.Widget import Widget
    from scene import Scene
    from workbench import Store

    process = subprocess.Popen([sys.executable, __file__, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().decode().strip()
        mrml, settings = Scene(), Settings(Store())
        settings.server = url
        voxels = np.random.default_rng(0).integers(-1000, 1000, SHAPE).astype(np.int16)
        volume = mrml.volume(voxels, np.diag([0.7, 0.7, 1.0, 1.0]))
        parent, ui = panel.load()
        logic = Logic(mrml.scene, mrml.application, settings, lambda text: True)
        widget = Widget(parent, ui, logic, lambda: "", lambda: "", lambda text: None)
        parent.show()
        ui.volumeSelector.setCurrentNode(volume)
        ui.textEdit.setPlainText("liver")
        writing: list[tuple[float, float]] = []
        apply = logic.history.apply

        def timed(*values: Any, **options: Any) -> Any:
            start = time.perf_counter()
            made = apply(*values, **options)
            writing.append((start, time.perf_counter()))
            return made

        logic.history.apply = timed  # type: ignore[method-assign]
        panel.turn(500)
        worst = 0.0
        buttons = (ui.segmentButton, ui.segmentButton, ui.rankButton, ui.rankButton, ui.measureButton)
        for run, button in enumerate(buttons, start=1):
            ticker = Ticker(qt)
            writing.clear()
            begin = time.perf_counter()
            button.click()
            loop = qt.QEventLoop()
            ended = lambda job, loop=loop: None if logic.jobs.running else loop.quit()  # noqa: E731
            logic.jobs.changed.connect(ended)
            loop.exec()
            panel.turn(100)
            logic.jobs.changed.disconnect(ended)
            gap = ticker.longest(writing)
            worst = max(worst, gap)
            write_ms = sum(1000.0 * (b - a) for a, b in writing)
            sent = "sent" if run == 1 else "known"
            size = voxels.nbytes / 1e6
            print(
                f"run {run} ({button.text()}, volume of {size:.0f} MB {sent}): {time.perf_counter() - begin:5.1f} s, "
                f"longest gap {gap:5.1f} ms, writing the segments {write_ms:6.1f} ms"
            )
        late = 0.0
        for number in range(5):
            moved = np.diag([0.7, 0.7, 1.0, 1.0])
            moved[0, 3] = 1.0 + number  # another place is another volume: it is sent again
            volume.SetIJKToRASMatrix(vtkMatrix(moved))
            for stage in ("sending", "x"):
                late = max(late, cancelled_within(widget, logic, stage, panel.turn))
        widget.cleanup()
        met = "met" if late <= CANCEL_MS else "NOT met"
        print(f"longest wait for Cancel {late:.1f} ms, target {CANCEL_MS:.0f} ms: {met}")
        print(f"longest gap {worst:.1f} ms, target {TARGET_MS:.0f} ms: {'met' if worst <= TARGET_MS else 'NOT met'}")
        return int(worst > TARGET_MS or late > CANCEL_MS)
    finally:
        process.stdin.close() if process.stdin else None
        process.wait(20)


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    else:
        sys.exit(main())
