"""An archive that speaks DICOMweb as a MONAI Label datastore: image id = SeriesInstanceUID, as OHIF expects.

MONAI Label's own DICOMweb datastore converts series to NIfTI, which loses which slice is which SOP instance, and
downloads conversion tools when it starts. Here a series stays DICOM: it is fetched when it is first asked for, and
labels that are final go back to the archive as DICOM SEG. Every label is also kept here, in versions.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.interfaces.exception import ImageNotFoundException

import radfind
from monailabel_app.label_names import label_names
from monailabel_app.labels import extension
from monailabel_app.studies import StudiesDatastore
from radfind.errors import InputError
from radfind.exports.dicom_seg import write_seg
from radfind.imaging import load
from radfind.imaging.labelmap_reading import read_segmentation
from radfind.pacs import Pacs, PacsError, SeriesCache, SeriesRecord

logger = logging.getLogger(__name__)

IMAGE_MODALITIES = frozenset({"CT", "MR", "PT", "CR", "DX", "MG", "US", "XA", "NM", "OT"})


class DicomWebDatastore(StudiesDatastore):
    """See the module's docstring.

    Arguments:
        pacs: the archive.
        root: folder for labels and fetched series.
        filters: keys of `radfind.pacs.model.FILTERS` that limit which series are listed.
    """

    def __init__(self, pacs: Pacs, root: Path, filters: dict[str, str] | None = None) -> None:
        self._pacs, self._filters = pacs, filters or {}
        self._cache = SeriesCache(root / "series")
        self._records: dict[str, SeriesRecord] = {}
        super().__init__(root)

    def description(self) -> str:
        return "Series of an archive, by DICOMweb"

    # --- images

    def refresh(self) -> None:
        """Ask the archive again which image series it has.

        An archive that is away leaves the list as it was: what is here can still be worked on.
        """
        try:
            found = self._pacs.find_series(**self._filters)
        except PacsError as error:
            logger.warning("The archive could not be listed: %s", error)
            return
        records = {record.series_uid: record for record in found if record.modality in IMAGE_MODALITIES}
        with self._lock:
            self._records = records
            self._images = {uid: self._cache.folder(uid) for uid in records}

    def get_image_uri(self, image_id: str) -> str:
        """The folder of the series, fetched when it is not here yet."""
        with self._lock:
            known = image_id in self._images
        if not known:
            self.refresh()  # it may have arrived since
            with self._lock:
                known = image_id in self._images
        if not known:
            raise ImageNotFoundException(f"The archive has no image series {image_id!r}.")
        return str(self._cache.get(self._pacs, image_id))

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        with self._lock:
            record = self._records.get(image_id)
            if record is None:
                raise ImageNotFoundException(f"The archive has no image series {image_id!r}.")
            return {**self._all_info().get(image_id, {}), **self._described(record)}

    def _described(self, record: SeriesRecord) -> dict[str, Any]:
        """What OHIF and Slicer show of a series; the names are those of MONAI Label's DICOMweb datastore."""
        return {
            "name": record.series_uid,
            "path": str(self._cache.folder(record.series_uid)),
            "StudyInstanceUID": record.study_uid,
            "SeriesInstanceUID": record.series_uid,
            "PatientID": record.patient_id,
            "Modality": record.modality,
            "SeriesDescription": record.description,
            "StudyDate": record.study_date,
        }

    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        with self._lock:
            if image_id not in self._images:
                raise ImageNotFoundException(f"The archive has no image series {image_id!r}.")
        self._write_info(image_id, info)

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        raise InputError("Images come from the archive. Send DICOM series there; other files cannot be stored in it.")

    def add_series(self, source: Path, info: dict[str, Any]) -> str:
        raise InputError("Series come from the archive. Send them there by STOW-RS or C-STORE: radfind pacs store.")

    def remove_image(self, image_id: str) -> None:
        raise InputError("A series of an archive is not deleted from here.")

    # --- labels

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        """Keep a version here; a final label also goes to the archive as DICOM SEG.

        Raises:
            PacsError: the archive did not take it; the version kept here is safe.
        """
        info = label_info or {}
        with self._lock:
            if image_id not in self._images:
                raise ImageNotFoundException(f"The archive has no image series {image_id!r}.")
        self._labels.save(image_id, label_tag, Path(label_filename), info)
        if label_tag == DefaultLabelTag.FINAL.value and extension(label_filename) not in (".json", ".xml"):
            self._store_back(image_id, Path(label_filename), info)
        return image_id

    def _store_back(self, image_id: str, label: Path, info: dict[str, Any]) -> None:
        import tempfile

        volume = radfind.load(self.get_image_uri(image_id))
        if not np.any(load(label).array):  # drawn empty: nothing to tell the archive
            return
        segmentation = read_segmentation(label, volume, names=label_names(info))
        with tempfile.TemporaryDirectory(prefix="radfind-seg-") as folder:
            file = Path(folder) / "segmentation.dcm"
            write_seg(segmentation, volume, file)
            self._pacs.store([file])

    # --- summaries

    def json(self) -> dict[str, Any]:
        """MONAI Label's listing; series that were not fetched yet are in it."""
        objects: dict[str, Any] = {}
        with self._lock:
            information, records = self._all_info(), dict(self._records)
        for image, record in records.items():
            versions = {tag: self._labels.current(image, tag) for tag in self._labels.tags()}
            labels = {
                tag: {"ext": extension(version.file), "info": version.info}
                for tag, version in versions.items()
                if version is not None
            }
            info = {**information.get(image, {}), **self._described(record)}
            objects[image] = {"image": {"ext": "", "info": info}, "labels": labels}
        return {"name": self.name(), "description": self.description(), "objects": objects}
