"""RadFind: ask a scan in words. The module file is thin; RadFindLib holds what it does."""

from __future__ import annotations

import sys

import qt
import slicer
from RadFindLib.Logic import Logic
from RadFindLib.Settings import Settings
from RadFindLib.Widget import Widget
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)


class RadFind(ScriptedLoadableModule):
    def __init__(self, parent):
        super().__init__(parent)
        parent.title = "RadFind"
        parent.categories = ["Informatics"]
        parent.dependencies = ["Markups", "Segmentations", "Volumes"]
        parent.contributors = ["The RadFind authors"]
        parent.helpText = (
            "Type what to look for, in English or Chinese, or paste a report. Ctrl+Enter ranks the slices; "
            "N and P walk through them. Nothing is sent before you agree. Research software, not a medical device."
        )
        parent.acknowledgementText = "Talks to a RadFind server, or to a stock MONAI Label server with what it offers."


class RadFindWidget(ScriptedLoadableModuleWidget):
    def __init__(self, parent=None):
        super().__init__(parent)
        self.panel = None

    def setup(self):
        super().setup()
        panel = slicer.util.loadUI(self.resourcePath("UI/RadFind.ui"))
        self.layout.addWidget(panel)
        window = slicer.util.mainWindow()
        logic = Logic(
            slicer.mrmlScene,
            slicer.app.applicationLogic(),
            Settings(qt.QSettings()),
            lambda text: slicer.util.confirmYesNoDisplay(text, windowTitle="RadFind"),
        )
        self.panel = Widget(
            panel,
            slicer.util.childWidgetVariables(panel),
            logic,
            chooseFolder=lambda: qt.QFileDialog.getExistingDirectory(window, "Export to"),
            chooseFile=lambda: qt.QFileDialog.getOpenFileName(window, "CA file", "", "PEM (*.pem *.crt)"),
            copyText=lambda text: qt.QApplication.clipboard().setText(text),
            window=window,
        )
        self.panel.setKeys(False)  # until the module is entered

    def enter(self):
        self.panel.enter()

    def exit(self):
        self.panel.setKeys(False)

    def cleanup(self):
        if self.panel is not None:
            self.panel.cleanup()

    def onReload(self):
        for name in [name for name in sys.modules if name.partition(".")[0] == "RadFindLib"]:
            del sys.modules[name]  # Slicer reloads the module file only
        super().onReload()


class RadFindTest(ScriptedLoadableModuleTest):
    """For the real application: what cannot be tried without its widgets and module loader."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        self.setUp()
        self.test_panel_follows_the_scene()

    def test_panel_follows_the_scene(self):
        import numpy as np

        slicer.util.selectModule("RadFind")
        panel = slicer.modules.RadFindWidget.panel
        volume = slicer.util.addVolumeFromArray(np.zeros((4, 5, 6), np.int16), name="scan")
        panel.ui.volumeSelector.setCurrentNode(volume)
        self.assertIs(panel.logic.parameter.reference("Volume"), volume)
        panel.ui.textEdit.setPlainText("右肺结节")
        self.assertEqual(panel.logic.parameter.get("Text"), "右肺结节")
        for name in ("rankButton", "segmentButton", "verifyButton", "everythingButton", "cancelButton", "undoButton"):
            self.assertTrue(hasattr(panel.ui, name))
        slicer.mrmlScene.Clear()
        self.assertEqual(panel.ui.textEdit.property("plainText"), "")
        self.delayDisplay("The panel follows the scene.")
