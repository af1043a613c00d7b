"""The module loads in the real application and survives a reload."""

from __future__ import annotations

import unittest

import slicer


class RadFindSelfTest(unittest.TestCase):
    def test_loads_and_reloads(self):
        self.assertTrue(slicer.util.selectModule("RadFind"))
        first = slicer.modules.RadFindWidget.panel
        slicer.util.reloadScriptedModule("RadFind")
        self.assertIsNot(slicer.modules.RadFindWidget.panel, first)
        self.assertFalse(first.logic.jobs.running)
