"""Masks to numbers: sizes, densities, distances and margins, in millimetres and with their uncertainty."""

from radfind.measure.quantities import Measured, Quantity, compare_sizes, measure

__all__ = ["Measured", "Quantity", "compare_sizes", "measure"]
