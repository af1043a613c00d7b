"""Images in, labelmaps out."""

from radfind.imaging.dicom_series import SeriesInfo
from radfind.imaging.reading import list_series, load

__all__ = ["SeriesInfo", "list_series", "load"]
