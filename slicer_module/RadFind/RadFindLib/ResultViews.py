"""Filling the lists and tables of the panel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import qt

from .Bookmarks import offsetOf, readBookmarks
from .Geometry import flipXY
from .Tables import Table
from .Thumbnails import SIDE, thumbnail
from .Verdicts import COLUMNS, VerdictRow

_COLORS = {"yes": ("#1e7e45", "#6fd08c"), "no": ("#b3261e", "#ff8a80"), "maybe": ("#8a6100", "#f0c060")}
"""On a light and on a dark ground; each reads at 4.5 : 1 or better (WCAG AA)."""
_MIN_WIDTH, _SIZE_WIDTH, _ROW_HEIGHT = 42, 64, 52
"""Of columns and of rows of three lines, pixels: a module panel is 400 to 500 wide."""
_SHOWN = 5
"""Columns of a verdict that the table shows; the label below it has the confidence."""


def fillBookmarks(view: Any, node: Any) -> None:
    """One line per bookmark: the slice, the score, and the words it answers; `drawIcon` adds the thumbnails."""
    view.clear()
    view.setIconSize(qt.QSize(SIDE, SIDE))
    for number, row in enumerate(readBookmarks(node) if node is not None else ()):
        words = ", ".join(str(word) for word in row["words"])
        where = offsetOf(node, number)
        head = f"{row['rank']}.  slice {row['index']}{f' ({where})' if where else ''}   score {row['score']:.2f}"
        item = qt.QListWidgetItem(f"{head}\n{words}")
        item.setToolTip(f"Slice {row['index']} of the volume, counted from 0 as Slicer does. {words}")
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
    pixmap.loadFromData(thumbnail(volume, flipXY(local)))  # bytes: PythonQt's QByteArray may end at the first zero
    icon = qt.QIcon(pixmap)
    icon.addPixmap(pixmap, qt.QIcon.Selected)  # else Qt tints the picture of the chosen line
    view.item(number).setIcon(icon)


def onDark(widget: Any) -> bool:
    """Whether a widget is drawn in a dark style."""
    return bool(widget.property("palette").color(qt.QPalette.Window).lightness() < 128)


def color(answer: str, widget: Any) -> str:
    """The colour of "yes" (all well), "no" (wrong) or "maybe" on a widget's ground."""
    return _COLORS[answer][onDark(widget)]


def fillVerdicts(view: Any, rows: Sequence[VerdictRow]) -> None:
    fillTable(view, Table(COLUMNS[:_SHOWN], [row.cells()[:_SHOWN] for row in rows]), wide=(0, 2))
    view.verticalHeader().setSectionResizeMode(qt.QHeaderView.Fixed)
    view.verticalHeader().setDefaultSectionSize(_ROW_HEIGHT)  # the label below has the chosen line in full
    for column in (3, 4):
        view.horizontalHeader().setSectionResizeMode(column, qt.QHeaderView.Fixed)
        view.setColumnWidth(column, _SIZE_WIDTH)
    for number, row in enumerate(rows):
        view.item(number, 1).setForeground(qt.QBrush(qt.QColor(color(row.answer, view))))


def fillTable(view: Any, table: Table, wide: Sequence[int] = (0,)) -> None:
    """Arguments:
    wide: the columns that share the width which the others leave; long texts wrap in them.
    """
    view.clear()
    view.setColumnCount(len(table.columns))
    view.setRowCount(len(table.rows))
    view.setHorizontalHeaderLabels([_twoLines(column) for column in table.columns])
    for row, cells in enumerate(table.rows):
        for column, cell in enumerate(cells):
            item = qt.QTableWidgetItem(cell)
            item.setToolTip(cell)
            item.setFlags(qt.Qt.ItemIsSelectable | qt.Qt.ItemIsEnabled)
            view.setItem(row, column, item)
    header = view.horizontalHeader()
    header.setMinimumSectionSize(_MIN_WIDTH)
    header.setHighlightSections(False)
    for column in range(len(table.columns)):
        header.setSectionResizeMode(
            column, qt.QHeaderView.Stretch if column in wide else qt.QHeaderView.ResizeToContents
        )
    view.verticalHeader().setVisible(False)
    view.verticalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)


def _twoLines(label: str) -> str:
    """A label broken at the space that is nearest to its middle."""
    spaces = [index for index, letter in enumerate(label) if letter == " "]
    if not spaces:
        return label
    middle = min(spaces, key=lambda index: abs(index - len(label) / 2))
    return f"{label[:middle]}\n{label[middle + 1 :]}"
