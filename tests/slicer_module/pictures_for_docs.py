"""The pictures of docs/clinician.md and of the extension, made anew: a phantom, the real server, the panel off-screen.

python tests/slicer_module/pictures_for_docs.py slicer_module/Screenshots
"""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "slicer_module" / "RadFind")]

import panel  # noqa: E402
import slicer  # noqa: E402
from picture import save, slice_view, space_view  # noqa: E402
from RadFindLib.Logic import Logic  # noqa: E402
from RadFindLib.Settings import Settings  # noqa: E402
from RadFindLib.Widget import Widget  # noqa: E402
from scene import Scene  # noqa: E402
from workbench import Store  # noqa: E402

from radfind.client import RadFindClient  # noqa: E402
from radfind.phantom import LesionSpec, Phantom, make_phantom  # noqa: E402

PHRASE = "右肺上叶实性结节"
BOTH = "solid nodule; 肺内实性结节"
REPORT = (
    "A 16 mm solid nodule in the right upper lobe.\nNo pneumothorax.\n"
    "Nodule in the right lower lobe, 20 mm.\n双侧胸腔无积液。"
)
LESIONS = (LesionSpec("solid_nodule", "right", "upper", 16.0), LesionSpec("solid_nodule", "left", "lower", 12.0))


def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        studies = Path(temporary) / "studies"
        studies.mkdir()
        phantom = make_phantom(seed=4101, lesions=LESIONS)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [sys.executable, "-m", "radfind.cli", "serve", "--studies", str(studies), "--port", str(port)]
        process = subprocess.Popen([*command, "--state", f"{temporary}/state"], stdout=subprocess.DEVNULL)
        try:
            RadFindClient(f"http://127.0.0.1:{port}").wait_until_ready(alive=lambda: process.poll() is None)
            _pictures(folder, phantom, f"localhost:{port}")
        finally:
            process.terminate()
            process.wait(timeout=30)


def _pictures(folder: Path, phantom: Phantom, server: str) -> None:
    mrml, settings = Scene(), Settings(Store())
    volume = mrml.volume(phantom.volume.array, phantom.volume.geometry.affine, "Phantom chest CT")
    units = slicer.vtkCodedEntry()
    units.SetValueSchemeMeaning("[hnsf'U]", "UCUM", "Hounsfield unit")  # as Slicer's DICOM module notes of a CT
    volume.SetVoxelValueUnits(units)
    volume.GetDisplayNode().SetAutoWindowLevel(False)
    volume.GetDisplayNode().SetWindowLevel(1400, -500)
    settings.server = server
    parent, ui = panel.load()
    logic = Logic(mrml.scene, mrml.application, settings, lambda text: True)
    Widget(parent, ui, logic, lambda: "", lambda: "", lambda text: None)
    parent.resize(460, 860)
    parent.show()
    ui.volumeSelector.setCurrentNode(volume)
    ui.serverEdit.setText("localhost:8000")

    def ask(button: str, text: str | None = None) -> None:
        if text is not None:
            ui.textEdit.setPlainText(text)
        getattr(ui, button).click()
        deadline = time.monotonic() + 180
        while logic.jobs.running and time.monotonic() < deadline:
            panel.turn()
        panel.turn(600)

    def shot(name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        panel.turn(100)
        parent.grab().save(str(folder / f"slicer-{name}.png"))

    ask("rankButton", BOTH)
    shot("rank")
    ask("rankButton", PHRASE)
    ask("segmentButton")
    save(slice_view(mrml, volume, "Red", 560, 260.0), folder / "slicer-slice.png")
    save(slice_view(mrml, volume, "Green", 560, 260.0), folder / "slicer-coronal.png")
    ask("measureButton")
    shot("measure")
    ask("verifyButton", REPORT)
    ui.verdictTable.selectRow(2)
    shot("verify")
    ask("segmentButton", "both lungs")
    segmentation: Any = ui.segmentationSelector.currentNode()
    display = segmentation.GetDisplayNode()
    for number in range(1, segmentation.GetSegmentation().GetNumberOfSegments()):
        display.SetSegmentOpacity3D(segmentation.GetSegmentation().GetNthSegmentID(number), 0.25)
    save(space_view(mrml, segmentation), folder / "slicer-3d.png")
    ui.promptGroup.setProperty("collapsed", False)
    ui.promptGroup.settle()
    ui.resultGroup.setProperty("collapsed", True)
    ui.resultGroup.settle()
    ui.targetBox.setCurrentIndex(1)
    ui.positiveButton.click()
    ui.boxButton.click()
    ui.messageLabel.setText("")
    shot("prompts")
    logic.cleanup()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
