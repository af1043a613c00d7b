"""Filling the lists and tables of the panel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import qt

from .Bookmarks import readBookmarks
from .Geometry import flipXY
from .Tables import Table
from .Thumbnails import SIDE, thumbnail
from .Verdicts import COLUMNS, VerdictRow

_COLORS = {"yes": "#2e8b57", "no": "#c0392b", "maybe": "#b8860b"}


def fillBookmarks(view: Any, node: Any) -> None:
    """One line per bookmark: the slice, the score, and the words it answers; `drawIcon` adds the thumbnails."""
    view.clear()
    view.setIconSize(qt.QSize(SIDE, SIDE))
    for row in readBookmarks(node) if node is not None else []:
        words = ", ".join(str(word) for word in row["words"])
        item = qt.QListWidgetItem(f"{row['rank']}.  slice {row['index']}   score {row['score']:.2f}\n{words}")
        item.setToolTip(words)
        item.setSizeHint(qt.QSize(0, SIDE + 6))
        view.addItem(item)


def drawIcon(view: Any, node: Any, number: int, scene: Any) -> None:
    """The thumbnail of one bookmark, while its volume is there."""
    volume = scene.GetNodeByID(node.GetNthControlPointAssociatedNodeID(number) or "")
    if volume is None or volume.GetImageData() is None:
        return
    local = np.zeros(3)
    node.GetNthControlPointPosition(number, local)
    pixmap = qt.QPixmap()
    pixmap.loadFromData(qt.QByteArray(thumbnail(volume, flipXY(local))))
    view.item(number).setIcon(qt.QIcon(pixmap))


def fillVerdicts(view: Any, rows: Sequence[VerdictRow]) -> None:
    fillTable(view, Table(COLUMNS, [row.cells() for row in rows]))
    for number, row in enumerate(rows):
        view.item(number, 1).setForeground(qt.QBrush(qt.QColor(_COLORS[row.answer])))
    view.setWordWrap(True)
    view.resizeRowsToContents()


def fillTable(view: Any, table: Table) -> None:
    view.clear()
    view.setColumnCount(len(table.columns))
    view.setRowCount(len(table.rows))
    view.setHorizontalHeaderLabels(list(table.columns))
    for row, cells in enumerate(table.rows):
        for column, cell in enumerate(cells):
            item = qt.QTableWidgetItem(cell)
            item.setToolTip(cell)
            item.setFlags(qt.Qt.ItemIsSelectable | qt.Qt.ItemIsEnabled)
            view.setItem(row, column, item)
    view.resizeColumnsToContents()
