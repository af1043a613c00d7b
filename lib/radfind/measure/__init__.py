"""Masks to numbers: sizes, densities, distances and margins, in millimetres and with their uncertainty."""

from radfind.measure.quantities import Measured, compare_sizes, measure
from radfind.measure.quantity import Quantity

__all__ = ["Measured", "Quantity", "compare_sizes", "measure"]
