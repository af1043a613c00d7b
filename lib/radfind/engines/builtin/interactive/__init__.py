"""Segmentation from points, boxes, scribbles and masks, on any modality, without weights."""
