"""The section Visual prompts off-screen: prompts belong to one target segment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
pytest.importorskip(
    "PySide6.QtWidgets", reason="PySide6, or a system library it needs, is missing", exc_type=ImportError
)

import panel  # noqa: E402
from panel_bench import Panel  # noqa: E402
from PySide6 import QtCore  # noqa: E402
from RadFindLib.Geometry import cropped, flipXY  # noqa: E402
from RadFindLib.Labelmaps import orientedImage  # noqa: E402
from RadFindLib.PromptPanel import SETTLE_MS  # noqa: E402
from RadFindLib.Volumes import gridOf  # noqa: E402
from workbench import blob, draw  # noqa: E402


def test_prompts_go_into_the_target_segment_and_ask_at_each_change(shown: Panel) -> None:
    scene = shown.mrml.scene
    segmentation = shown.segmented()
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


def test_the_first_answer_becomes_the_target_and_each_target_keeps_its_prompts(shown: Panel) -> None:
    ui, parameter = shown.ui, shown.logic.parameter
    shown.click("positiveButton")
    first = ui.positiveSelector.currentNode()
    selection = shown.mrml.application.GetSelectionNode()
    assert selection.GetActivePlaceNodeID() == first.GetID()  # the next click in a view is a point of it
    ui.atOnceBox.setChecked(True)
    for number in range(3):
        first.AddControlPointWorld(-3.0 - number, -4.0, 6.0)
        shown.until(lambda number=number: len(shown.server.params) == number + 1)
        shown.idle()
    segmentation = ui.segmentationSelector.currentNode()
    inner = segmentation.GetSegmentation()
    assert inner.GetNumberOfSegments() == 1 and ui.targetBox.currentText() == "nodule 1"  # not one at each click
    ui.targetBox.setCurrentIndex(0)  # a second object
    assert ui.positiveSelector.currentNode() is None and parameter.references("Positive") == []
    shown.click("positiveButton")
    second = ui.positiveSelector.currentNode()
    assert second is not first
    shown.answers(gridOf(shown.node).toLPS, blob(7))
    second.AddControlPointWorld(-6.0, -6.0, 8.0)
    shown.until(lambda: inner.GetNumberOfSegments() == 2)
    (sent,) = shown.server.params[-1]["prompts"]["prompts"]
    assert sent["position"] == [6.0, 6.0, 8.0]  # and none of the first one's points
    ui.targetBox.setCurrentIndex(1)
    assert ui.positiveSelector.currentNode() is first
    shown.click("boxButton")
    shown.click("negativeButton")
    assert [node.GetClassName() for node in ui.boxSelector.checkedNodes()] == ["vtkMRMLMarkupsROINode"]
    ui.targetBox.setCurrentIndex(2)
    assert ui.positiveSelector.currentNode() is second and ui.boxSelector.checkedNodes() == ()
    other = shown.mrml.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "other")
    other.GetSegmentation().AddEmptySegment(inner.GetNthSegmentID(1), "of the same id")
    ui.segmentationSelector.setCurrentNode(other)
    assert ui.targetBox.currentText() == "new segments" and ui.positiveSelector.currentNode() is None


def test_prompts_of_a_target_are_kept_in_the_saved_scene(shown: Panel, tmp_path: Path) -> None:
    shown.segmented()
    shown.ui.targetBox.setCurrentIndex(1)
    shown.click("positiveButton")
    shown.ui.positiveSelector.currentNode().AddControlPointWorld(-3.0, -4.0, 6.0)
    shown.click("boxButton")
    painted = shown.ui.segmentationSelector.currentNode()
    shown.ui.scribbleSelector.setCurrentNode(painted)
    shown.ui.scribbleOffBox.setCurrentIndex(1)
    assert shown.mrml.scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    shown.mrml.scene.Clear(False)
    assert shown.mrml.scene.ReadFromMRB(str(tmp_path / "scene.mrb"), True)
    ui = shown.ui
    assert ui.targetBox.currentText() == "nodule 1" and ui.scribbleOffBox.currentText() == "nodule 1"
    assert ui.positiveSelector.currentNode().GetNumberOfControlPoints() == 1
    assert len(ui.boxSelector.checkedNodes()) == 1


def test_an_answer_into_the_segmentation_of_the_scribbles_asks_no_further(shown: Panel) -> None:
    segmentation = shown.segmented()
    ui = shown.ui
    ui.scribbleSelector.setCurrentNode(segmentation)
    ui.scribbleBox.setCurrentIndex(1)
    ui.atOnceBox.setChecked(True)
    shown.answers(gridOf(shown.node).toLPS, blob(7))
    before = len(shown.server.params)
    shown.click("promptButton")
    shown.idle()
    panel.turn(3 * SETTLE_MS)
    shown.idle()
    assert len(shown.server.params) == before + 1
    draw(segmentation, shown.node, blob(9), "another")  # nor does work on a segment that is no prompt
    panel.turn(3 * SETTLE_MS)
    assert len(shown.server.params) == before + 1
    image = orientedImage(cropped(blob(8)), flipXY(gridOf(shown.node).toLPS))
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    logic.SetBinaryLabelmapToSegment(image, segmentation, segmentation.GetSegmentation().GetNthSegmentID(0))
    shown.until(lambda: len(shown.server.params) == before + 2)  # a stroke of the scribble does


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
