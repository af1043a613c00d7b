"""The panel off-screen: every button leads to its effect."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")
pytest.importorskip(
    "PySide6.QtWidgets", reason="PySide6, or a system library it needs, is missing", exc_type=ImportError
)

import panel
from loopback import Loopback
from PySide6 import QtCore, QtGui, QtTest, QtWidgets
from RadFindLib.Parameter import Parameter
from RadFindLib.Volumes import gridOf
from RadFindLib.Widget import Widget
from workbench import RANKED, SHAPE, VERDICTS, Bench, blob


class Panel(Bench):
    def __init__(self, server: Loopback, folder: Path) -> None:
        super().__init__(server)
        self.folder, self.copied = folder, []
        self.node = self.volume()
        self.answers(gridOf(self.node).toLPS, blob(1))
        self.parent, self.ui = panel.load()
        self.widget = Widget(
            self.parent,
            self.ui,
            self.logic,
            chooseFolder=lambda: str(folder),
            chooseFile=lambda: "/ca.pem",
            copyText=self.copied.append,
        )
        self.parent.show()
        self.ui.volumeSelector.setCurrentNode(self.node)

    def click(self, name: str) -> None:
        QtTest.QTest.mouseClick(getattr(self.ui, name), QtCore.Qt.LeftButton)

    def until(self, true: Callable[[], Any], seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, (self.ui.messageLabel.text(), self.errors)
            panel.turn()

    def idle(self) -> None:
        self.until(lambda: not self.logic.jobs.running)

    def key(self, target: Any, key: Any, modifier: Any = QtCore.Qt.NoModifier) -> None:
        target.activateWindow()
        target.setFocus()
        QtTest.QTest.keyClick(target, key, modifier)

    def ranked(self, text: str = "右肺结节") -> None:
        self.answers(gridOf(self.node).toLPS, slices=RANKED)
        self.server.answer["volume"]["shape_kji"] = list(SHAPE)
        self.ui.textEdit.setPlainText(text)
        self.click("rankButton")
        self.until(lambda: self.ui.bookmarkList.count() == 2)


@pytest.fixture
def shown(loopback: Loopback, tmp_path: Path) -> Iterator[Panel]:
    made = Panel(loopback, tmp_path)
    yield made
    made.widget.cleanup()
    made.parent.deleteLater()


def test_segment_undo_redo_accept(shown: Panel) -> None:
    shown.ui.textEdit.setPlainText("nodule")
    assert not shown.ui.undoButton.isEnabled()
    shown.click("segmentButton")
    shown.idle()
    segmentation = shown.ui.segmentationSelector.currentNode()
    assert segmentation.GetSegmentation().GetNumberOfSegments() == 1
    assert shown.ui.segmentList.count() == 1 and "Outlined: nodule 1" in shown.ui.messageLabel.text()
    assert not shown.ui.progressBar.isVisible() and not shown.ui.cancelButton.isEnabled()
    shown.click("undoButton")
    assert segmentation.GetSegmentation().GetNumberOfSegments() == 0 and shown.ui.segmentList.count() == 0
    shown.click("redoButton")
    assert segmentation.GetSegmentation().GetNumberOfSegments() == 1
    shown.click("acceptButton")
    assert not shown.ui.undoButton.isEnabled() and segmentation.GetSegmentation().GetNumberOfSegments() == 1


def test_what_was_not_found_stands_below_what_was(shown: Panel) -> None:
    shown.server.answer["not_found"] = ["left pneumothorax"]
    shown.ui.textEdit.setPlainText("nodule; left pneumothorax")
    shown.click("segmentButton")
    shown.idle()
    assert shown.ui.messageLabel.text() == "Outlined: nodule 1.\nNot found: left pneumothorax."
    shown.server.answer["segments"] = []
    shown.server.answer["not_found"] = []
    shown.click("segmentButton")
    shown.idle()
    assert shown.ui.messageLabel.text() == "Nothing was found."


def test_rank_fills_the_list_with_pictures_and_jumps(shown: Panel) -> None:
    shown.ranked()
    first = shown.ui.bookmarkList.item(0)
    assert "slice 3" in first.text() and "0.91" in first.text() and "结节" in first.text()
    shown.until(lambda: not shown.ui.bookmarkList.item(1).icon().isNull() and not first.icon().isNull())

    def depth() -> float:
        return shown.mrml.views["Red"].GetSliceToRAS().GetElement(2, 3)

    shown.until(lambda: shown.ui.bookmarkList.currentRow() == 0)
    assert depth() == pytest.approx(3 * 2.0)
    shown.click("nextButton")
    assert shown.ui.bookmarkList.currentRow() == 1 and depth() == pytest.approx(7 * 2.0)
    shown.click("previousButton")
    assert depth() == pytest.approx(3 * 2.0)


def test_keys_ask_and_walk_but_letters_stay_letters_in_the_text(shown: Panel) -> None:
    shown.ranked()
    shown.key(shown.ui.bookmarkList, QtCore.Qt.Key_N)
    assert shown.ui.bookmarkList.currentRow() == 1
    shown.key(shown.ui.bookmarkList, QtCore.Qt.Key_P)
    assert shown.ui.bookmarkList.currentRow() == 0
    shown.ui.textEdit.setPlainText("")
    shown.key(shown.ui.textEdit, QtCore.Qt.Key_N)
    assert shown.ui.textEdit.toPlainText() == "n" and shown.ui.bookmarkList.currentRow() == 0
    before = len(shown.server.params)
    shown.key(shown.ui.textEdit, QtCore.Qt.Key_Return, QtCore.Qt.ControlModifier)
    shown.until(lambda: len(shown.server.params) == before + 1)
    assert shown.server.params[-1]["text"] == "n"
    shown.idle()


def test_check_report_fills_the_table_and_a_click_jumps(shown: Panel) -> None:
    shown.answers(gridOf(shown.node).toLPS, verdicts=VERDICTS)
    shown.server.answer["volume"]["shape_kji"] = list(SHAPE)
    shown.ui.textEdit.setPlainText("12 mm nodule. No effusion.")
    shown.click("verifyButton")
    shown.until(lambda: shown.ui.verdictTable.rowCount() == 2)
    cells = [shown.ui.verdictTable.item(0, column).text() for column in range(5)]
    assert cells == ["12 mm nodule.", "yes", "a nodule, 11 mm", "12 mm", "11.4 x 9 mm"]
    shown.ui.verdictTable.selectRow(0)
    assert shown.mrml.views["Red"].GetSliceToRAS().GetElement(2, 3) == pytest.approx(2 * 2.0)
    assert "1 yes, 0 no, 1 maybe" in shown.ui.messageLabel.text()


def test_find_everything_and_engine_choice(shown: Panel) -> None:
    shown.server.engines = ["auto", "builtin", "yoloe"]
    shown.click("testButton")
    shown.until(lambda: shown.ui.engineBox.count() == 3)
    assert "answers at" in shown.ui.messageLabel.text()
    shown.ui.engineBox.setCurrentText("yoloe")
    shown.click("everythingButton")
    shown.idle()
    assert shown.server.params[-1]["engine"] == "yoloe"
    assert shown.server.params[-1]["prompts"]["prompts"] == [{"type": "everything"}]
    assert shown.logic.parameter.get("Engine") == "yoloe"


def test_cancel_stops_and_says_so(shown: Panel) -> None:
    shown.server.work_seconds = 20.0
    shown.ui.textEdit.setPlainText("nodule")
    shown.click("segmentButton")
    shown.until(lambda: (shown.ui.progressBar.isVisible() and shown.ui.progressBar.value() > 0) or None)
    shown.click("cancelButton")
    assert not shown.logic.jobs.running and shown.ui.messageLabel.text() == "Cancelled."


def test_prompts_go_into_the_target_segment_and_ask_at_each_change(shown: Panel) -> None:
    scene = shown.mrml.scene
    shown.ui.textEdit.setPlainText("nodule")
    shown.click("segmentButton")
    shown.idle()
    segmentation = shown.ui.segmentationSelector.currentNode()
    shown.ui.targetBox.setCurrentIndex(1)
    points = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "on it")
    shown.ui.positiveSelector.setCurrentNode(points)
    shown.click("promptButton")
    assert "Place a point" in shown.ui.messageLabel.text()
    points.AddControlPointWorld(-3.0, -4.0, 6.0)
    shown.answers(gridOf(shown.node).toLPS, blob(4))
    shown.click("promptButton")
    shown.idle()
    assert segmentation.GetSegmentation().GetNumberOfSegments() == 1
    (sent,) = shown.server.params[-1]["prompts"]["prompts"]
    assert sent == {"type": "point", "space": "lps", "position": [3.0, 4.0, 6.0], "positive": True}
    shown.ui.atOnceBox.setChecked(True)
    before = len(shown.server.params)
    points.AddControlPointWorld(-4.0, -4.0, 6.0)
    shown.until(lambda: len(shown.server.params) == before + 1)
    shown.idle()
    points.AddControlPointWorld(500.0, 0.0, 0.0)
    shown.until(lambda: "outside" in shown.ui.messageLabel.text())


def test_boxes_and_an_example_are_chosen_in_the_panel(shown: Panel) -> None:
    scene, parameter = shown.mrml.scene, shown.logic.parameter
    shown.ui.textEdit.setPlainText("nodule")
    shown.click("segmentButton")
    shown.idle()
    rois = []
    for centre in ((-4.0, -4.0, 6.0), (-6.0, -6.0, 8.0)):
        roi = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "box")
        roi.SetCenter(centre)
        roi.SetSize(4.0, 4.0, 4.0)
        rois.append(roi)
        shown.ui.boxSelector.setCheckState(roi, QtCore.Qt.Checked)
    assert parameter.references("Boxes") == rois
    shown.ui.targetBox.setCurrentIndex(1)
    shown.click("promptButton")
    shown.idle()
    assert [one["type"] for one in shown.server.params[-1]["prompts"]["prompts"]] == ["box", "box"]
    shown.ui.boxSelector.setCheckState(rois[0], QtCore.Qt.Unchecked)
    shown.widget.updateFromScene()
    assert parameter.references("Boxes") == rois[1:] and shown.ui.boxSelector.checkedNodes() == (rois[1],)
    other = shown.volume(np.diag([0.8, 0.9, 2.1, 1.0]), name="annotated")
    shown.click("exampleButton")
    assert "Choose the example" in shown.ui.messageLabel.text()
    shown.ui.exampleVolumeSelector.setCurrentNode(other)
    shown.ui.exampleSelector.setCurrentNode(parameter.reference("Segmentation"))
    shown.ui.exampleBox.setCurrentIndex(1)
    shown.click("exampleButton")
    shown.idle()
    assert [one["type"] for one in shown.server.params[-1]["prompts"]["prompts"]] == ["example"], shown.errors


def test_measure_copy_export(shown: Panel) -> None:
    shown.ui.textEdit.setPlainText("nodule")
    shown.click("segmentButton")
    shown.idle()
    shown.click("measureButton")
    shown.until(lambda: shown.ui.measureTable.rowCount() == 1)
    expected = blob(1).sum() * 0.8 * 0.9 * 2.0 / 1000
    assert float(shown.ui.measureTable.item(0, 1).text()) == pytest.approx(expected, abs=5e-4)
    shown.click("copyButton")
    assert shown.copied[0].splitlines()[1].startswith("nodule 1\t")
    shown.ui.resultTabs.setCurrentIndex(2)
    shown.ui.formatBox.setCurrentText("NIfTI")
    shown.click("exportButton")
    shown.idle()
    assert (shown.folder / "nodule_1-RAS.nii.gz").is_file() and "Written" in shown.ui.messageLabel.text()
    shown.ui.segmentList.item(0).setCheckState(QtCore.Qt.Unchecked)
    shown.click("exportButton")
    shown.idle()
    assert "Choose the segments" in shown.ui.messageLabel.text()


def test_evidence_toggle_settings_and_faults(shown: Panel) -> None:
    shown.ui.evidenceBox.setChecked(True)
    assert shown.logic.parameter.flag("ShowEvidence")
    shown.click("caButton")
    assert shown.settings.caFile == "/ca.pem"
    shown.ui.caEdit.setText("")
    shown.ui.tokenEdit.setText("secret")
    shown.ui.tokenEdit.editingFinished.emit()
    assert shown.settings.token(shown.server.url) == "secret" or shown.settings.caFile == ""
    shown.ui.serverEdit.setText("not an address!")
    shown.ui.serverEdit.editingFinished.emit()
    assert "not an address" in shown.ui.messageLabel.text()
    shown.ui.textEdit.setPlainText("  ")
    for name in ("segmentButton", "rankButton", "verifyButton"):
        shown.ui.messageLabel.setText("")
        shown.click(name)
        assert shown.ui.messageLabel.text()


def test_the_panel_shows_a_scene_that_was_closed_or_opened(shown: Panel, tmp_path: Path) -> None:
    shown.ranked("nodule")
    file = tmp_path / "scene.mrb"
    assert shown.mrml.scene.WriteToMRB(str(file))
    shown.mrml.scene.Clear(False)
    assert shown.ui.bookmarkList.count() == 0 and shown.ui.textEdit.toPlainText() == ""
    assert shown.mrml.scene.ReadFromMRB(str(file), True)
    shown.widget.updateFromScene()
    assert shown.ui.textEdit.toPlainText() == "nodule" and shown.ui.bookmarkList.count() == 2
    assert Parameter(shown.mrml.scene).reference("Volume").GetName() == "scan"
    assert isinstance(shown.ui.bookmarkList, QtWidgets.QListWidget) and QtGui and np.size(SHAPE) == 3


def test_a_reload_leaves_no_timer_job_or_observer(shown: Panel) -> None:
    shown.server.work_seconds = 20.0
    shown.ui.textEdit.setPlainText("nodule")
    shown.click("segmentButton")
    shown.widget.cleanup()
    assert not shown.logic.jobs.running
    shown.ui.messageLabel.setText("quiet")
    shown.mrml.scene.Clear(False)
    panel.turn()
    assert shown.ui.messageLabel.text() == "quiet"
