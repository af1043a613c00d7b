"""Segmentation by example: annotated cases brought onto a new one by registration, fused, and drawn to its edges."""
