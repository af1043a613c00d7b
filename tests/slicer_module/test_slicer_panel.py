"""The panel off-screen: every button leads to its effect."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
pytest.importorskip(
    "PySide6.QtWidgets", reason="PySide6, or a system library it needs, is missing", exc_type=ImportError
)

import panel  # noqa: E402
from loopback import Loopback  # noqa: E402
from panel_bench import Panel  # noqa: E402
from PySide6 import QtCore, QtWidgets  # noqa: E402
from RadFindLib.Labelmaps import maskOf  # noqa: E402
from RadFindLib.Nrrd import header  # noqa: E402
from RadFindLib.Parameter import Parameter  # noqa: E402
from RadFindLib.Volumes import gridOf  # noqa: E402
from workbench import SHAPE, blob  # noqa: E402


def test_segment_undo_redo_accept(shown: Panel) -> None:
    shown.ui.textEdit.setPlainText("nodule")
    assert not shown.ui.undoButton.isEnabled()
    shown.click("segmentButton")
    shown.idle()
    segmentation = shown.ui.segmentationSelector.currentNode()
    assert segmentation.GetSegmentation().GetNumberOfSegments() == 1
    assert shown.ui.segmentList.count() == 1 and "Outlined: nodule 1" in shown.ui.messageLabel.text()
    assert not shown.ui.progressBar.isVisible() and not shown.ui.cancelButton.isVisible()
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

    shown.until(lambda: shown.ui.bookmarkList.currentRow() == 0)
    assert shown.depth() == pytest.approx(3 * 2.0)
    shown.click("nextButton")
    assert shown.ui.bookmarkList.currentRow() == 1 and shown.depth() == pytest.approx(7 * 2.0)
    shown.click("previousButton")
    assert shown.depth() == pytest.approx(3 * 2.0)
    shown.mrml.views["Red"].SetSliceOffset(11.0)  # the user scrolls away and clicks the same line again
    shown.click_row(shown.ui.bookmarkList, 0)
    assert shown.depth() == pytest.approx(3 * 2.0)


def test_the_views_show_the_bookmarks_of_the_chosen_question_only(shown: Panel) -> None:
    shown.ranked("first")
    first = shown.ui.bookmarkSelector.currentNode()
    shown.ranked("second")
    shown.idle()
    second = shown.ui.bookmarkSelector.currentNode()
    points = shown.mrml.scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "drawn by hand")
    assert second is not first
    assert second.GetDisplayNode().GetVisibility() and not first.GetDisplayNode().GetVisibility()
    shown.ui.bookmarkSelector.setCurrentNode(first)
    assert first.GetDisplayNode().GetVisibility() and not second.GetDisplayNode().GetVisibility()
    assert points.GetDisplayNode().GetVisibility()
    assert shown.ui.bookmarkSelector.findText("drawn by hand") < 0  # only questions are listed


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
    shown.checked()
    cells = [shown.ui.verdictTable.item(0, column).text() for column in range(5)]
    assert cells == ["12 mm nodule.", "yes", "a nodule, 11 mm", "12 mm", "11.4 x 9 mm"]
    assert "1 yes, 0 no, 1 maybe" in shown.ui.messageLabel.text() and not shown.ui.jumpButton.isEnabled()
    shown.click_row(shown.ui.verdictTable, 0)
    assert shown.depth() == pytest.approx(2 * 2.0)
    for told in ("12 mm nodule.", "yes (confidence 0.80): a nodule, 11 mm", "reported 12 mm, measured 11.4 x 9 mm"):
        assert told in shown.ui.verdictLabel.text()
    shown.mrml.views["Red"].SetSliceOffset(11.0)
    shown.click("jumpButton")
    assert shown.depth() == pytest.approx(2 * 2.0)
    shown.ui.verdictTable.selectRow(1)  # nothing was found for it, so there is nowhere to go
    assert not shown.ui.jumpButton.isEnabled() and "not covered" in shown.ui.verdictLabel.text()
    assert not shown.errors


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


def test_the_first_answer_tells_which_engines_there_are(shown: Panel) -> None:
    shown.server.engines = ["auto", "builtin", "yoloe"]
    shown.segmented()
    assert [shown.ui.engineBox.itemText(n) for n in range(shown.ui.engineBox.count())] == ["auto", "builtin", "yoloe"]


def test_a_stock_server_is_asked_with_its_own_model(shown: Panel) -> None:
    grid = gridOf(shown.node)
    labels = blob(3).astype(np.uint8)
    shown.server.radfind, shown.server.stock_models = False, ["segmentation_spleen", "segmentation_liver"]
    shown.server.labelmap = header(labels.dtype, grid) + labels.tobytes()
    shown.click("testButton")
    shown.until(lambda: shown.ui.engineBox.count() == 2)
    assert "without RadFind" in shown.ui.messageLabel.text()
    shown.ui.engineBox.setCurrentText("segmentation_liver")
    shown.ui.textEdit.setPlainText("liver")
    shown.click("segmentButton")
    shown.idle()
    assert not shown.errors and "does not read the text" in shown.ui.messageLabel.text()
    assert any(request.startswith("POST /infer/segmentation_liver?") for request in shown.server.requests)
    node = shown.ui.segmentationSelector.currentNode()
    identifier = node.GetSegmentation().GetNthSegmentID(0)
    np.testing.assert_array_equal(maskOf(node, identifier, shown.node).full(SHAPE), labels > 0)
    shown.click("rankButton")
    shown.idle()
    assert "not a RadFind server" in shown.ui.messageLabel.text()


def test_cancel_stops_and_says_so(shown: Panel) -> None:
    shown.server.work_seconds = 20.0
    shown.ui.textEdit.setPlainText("nodule")
    shown.click("segmentButton")
    shown.until(lambda: (shown.ui.progressBar.isVisible() and shown.ui.progressBar.value() > 0) or None)
    shown.click("cancelButton")
    assert not shown.logic.jobs.running and shown.ui.messageLabel.text() == "Cancelled."


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


def test_a_segmentation_made_in_the_selector_can_be_seen(shown: Panel) -> None:
    bare = slicer.vtkMRMLSegmentationNode()
    shown.mrml.scene.AddNode(bare)
    shown.ui.segmentationSelector.setCurrentNode(bare)
    assert bare.GetDisplayNode() is None
    assert shown.segmented() is bare
    assert bare.GetDisplayNode().GetVisibility()
    assert bare.GetNodeReference(bare.GetReferenceImageGeometryReferenceRole()) is shown.node


def test_keys_walk_while_a_view_has_the_focus_and_only_while_the_module_is_shown(loopback: Loopback) -> None:
    window = QtWidgets.QWidget()
    view = QtWidgets.QPushButton("a slice view", window)
    shown = Panel(loopback, Path(), window)
    try:
        shown.parent.setParent(window)
        window.show()
        shown.ranked()
        for on, row in ((True, 1), (False, 1)):
            shown.widget.setKeys(on)
            shown.key(view, QtCore.Qt.Key_N)
            assert shown.ui.bookmarkList.currentRow() == row
    finally:
        shown.widget.cleanup()
        window.deleteLater()


def test_the_module_opens_on_the_volume_that_is_shown(shown: Panel) -> None:
    shown.logic.parameter.setReference("Volume", None)
    shown.widget.enter()
    assert shown.ui.volumeSelector.currentNode() is None  # no view shows one
    shown.mrml.application.GetSelectionNode().SetActiveVolumeID(shown.node.GetID())
    shown.widget.enter()
    assert shown.ui.volumeSelector.currentNode() is shown.node


def test_consent_can_be_taken_back(shown: Panel) -> None:
    assert not shown.ui.consentBox.isChecked()
    shown.segmented()
    assert len(shown.asked) == 1 and shown.ui.consentBox.isChecked()
    shown.ui.consentBox.setChecked(False)
    shown.agree = False
    shown.click("segmentButton")
    assert len(shown.asked) == 2 and "did not agree" in shown.ui.messageLabel.text()
    assert not shown.ui.consentBox.isChecked()


def test_evidence_toggle_settings_and_faults(shown: Panel) -> None:
    shown.ui.evidenceBox.setChecked(True)
    assert shown.logic.parameter.flag("ShowEvidence")
    shown.click("caButton")
    assert shown.settings.caFile == "/ca.pem"
    shown.ui.caEdit.setText("")
    shown.ui.tokenEdit.setText("secret")
    shown.ui.tokenEdit.editingFinished.emit()
    assert shown.settings.token(shown.server.url) == "secret" and shown.settings.caFile == ""
    shown.ui.serverEdit.setText("not an address!")
    shown.ui.serverEdit.editingFinished.emit()
    assert "not an address" in shown.ui.messageLabel.text()
    shown.ui.textEdit.setPlainText("  ")
    for name in ("segmentButton", "rankButton", "verifyButton"):
        shown.ui.messageLabel.setText("")
        shown.click(name)
        assert shown.ui.messageLabel.text()


def test_the_panel_shows_a_scene_that_was_closed_or_opened(shown: Panel, tmp_path: Path) -> None:
    shown.ui.textEdit.setPlainText("nodule")
    shown.click("segmentButton")
    shown.idle()
    shown.click("measureButton")
    shown.until(lambda: shown.ui.measureTable.rowCount() == 1)
    measured = [shown.ui.measureTable.item(0, column).text() for column in range(6)]
    shown.checked()
    shown.ranked("nodule")
    file = tmp_path / "scene.mrb"
    assert shown.mrml.scene.WriteToMRB(str(file))
    shown.mrml.scene.Clear(False)
    ui = shown.ui
    assert ui.bookmarkList.count() == 0 and ui.textEdit.toPlainText() == ""
    # nothing of the last patient stays to be read
    assert ui.verdictTable.rowCount() == 0 and ui.measureTable.rowCount() == 0 and ui.verdictLabel.text() == ""
    assert shown.mrml.scene.ReadFromMRB(str(file), True)
    assert ui.textEdit.toPlainText() == "nodule" and ui.bookmarkList.count() == 2
    assert Parameter(shown.mrml.scene).reference("Volume").GetName() == "scan"
    assert [ui.measureTable.item(0, column).text() for column in range(6)] == measured
    assert ui.verdictTable.rowCount() == 2 and ui.verdictTable.item(0, 1).text() == "yes"
    ui.resultTabs.setCurrentIndex(1)
    shown.click_row(ui.verdictTable, 0)
    assert shown.depth() == pytest.approx(2 * 2.0)


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
