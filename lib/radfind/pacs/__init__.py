"""Archives: find series, bring them here, send results back. DICOMweb and DIMSE speak the same small protocol."""

from radfind.pacs.cache import SeriesCache
from radfind.pacs.model import Pacs, PacsError, SeriesRecord, connect

__all__ = ["Pacs", "PacsError", "SeriesCache", "SeriesRecord", "connect"]
