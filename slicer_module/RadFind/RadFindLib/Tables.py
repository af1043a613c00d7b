"""A small table: shown, copied as text, kept in the scene."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import vtk


@dataclasses.dataclass(frozen=True)
class Table:
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        """Tab-separated, as spreadsheets take it from the clipboard."""
        lines = [self.columns, *self.rows]
        return "\n".join("\t".join(" ".join(cell.split()) for cell in line) for line in lines) + "\n"

    def toNode(self, scene: Any, name: str, node: Any = None) -> Any:
        """The table as a ``vtkMRMLTableNode`` (a new one, or refilled), saved with the scene."""
        if node is None:
            node = scene.AddNewNodeByClass("vtkMRMLTableNode", scene.GetUniqueNameByString(name))
        modified = node.StartModify()
        node.RemoveAllColumns()
        for number, column in enumerate(self.columns):
            array = vtk.vtkStringArray()
            array.SetName(column)
            for row in self.rows:
                array.InsertNextValue(row[number])
            node.AddColumn(array)
        node.SetUseColumnTitleAsColumnHeader(True)
        node.SetLocked(True)
        node.EndModify(modified)
        return node

    @classmethod
    def fromNode(cls, node: Any) -> Table:
        """What `toNode` wrote."""
        columns = [str(node.GetColumnName(column)) for column in range(node.GetNumberOfColumns())]
        lines = range(node.GetNumberOfRows())
        return cls(columns, [[str(node.GetCellText(line, n)) for n in range(len(columns))] for line in lines])
