"""A folder of scans as a MONAI Label datastore.

Images are the DICOM series found below the folder (image id = SeriesInstanceUID) and the image files directly
in it (image id = file name without extension). Labels are versioned (`monailabel_app.labels`).
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from monailabel.interfaces.exception import ImageNotFoundException, LabelNotFoundException

from monailabel_app.labels import LabelStore, LabelVersion, checked_name, extension, write_atomically
from radfind.errors import ImageError, InputError
from radfind.imaging import SeriesInfo, list_series
from radfind.imaging.sources import open_source

logger = logging.getLogger(__name__)

IMAGE_EXTENSIONS = (".nii.gz", ".nii", ".nrrd", ".mha", ".png", ".jpg")


class StudiesDatastore(Datastore):
    """See the module's docstring. The folder is listed again by `refresh`.

    Arguments:
        root: the folder; made when it does not exist.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.RLock()
        root.mkdir(parents=True, exist_ok=True)
        self._labels = LabelStore(root / "labels")
        self._temporary = tempfile.TemporaryDirectory(prefix="radfind-series-", ignore_cleanup_errors=True)
        self._links = Path(self._temporary.name)
        self._images: dict[str, Path] = {}
        self._info_file = root / "labels" / "images.json"
        self.refresh()

    def close(self) -> None:
        """Remove what lies outside the folder: links to the files of each series. They are of no use afterwards."""
        self._temporary.cleanup()

    def name(self) -> str:
        return self._root.name

    def set_name(self, name: str) -> None:
        raise InputError("The name of this datastore is that of its folder; rename the folder instead.")

    def description(self) -> str:
        return f"Scans and labels in the folder {self._root.name}"

    def set_description(self, description: str) -> None:
        raise InputError("The description of this datastore is fixed.")

    # --- images

    def refresh(self) -> None:
        """List the folder again: new scans appear, removed ones go."""
        images: dict[str, Path] = {}
        for file in sorted(self._root.iterdir()):
            if file.is_file() and file.name.lower().endswith(IMAGE_EXTENSIONS):
                images[_image_id(file)] = file
        for series in self._series():
            images[series.uid] = self._link(series.uid, series.files)
        with self._lock:
            self._images = images

    def _series(self) -> list[SeriesInfo]:
        try:
            return list_series(self._root)
        except ImageError:  # an empty folder is a datastore to be filled, not an error
            return []

    def _link(self, uid: str, files: tuple[Path, ...]) -> Path:
        """A folder of links to exactly the files of one series, wherever they lie."""
        folder = self._links / checked_name(uid, "SeriesInstanceUID")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for number, file in enumerate(files):
            (folder / f"{number:05d}.dcm").symlink_to(file.resolve())
        return folder

    def list_images(self) -> list[str]:
        with self._lock:
            return list(self._images)

    def get_image_uri(self, image_id: str) -> str:
        with self._lock:
            path = self._images.get(image_id)
        if path is None:
            raise ImageNotFoundException(f"There is no image {image_id!r} here; GET /datastore/?output=all lists them.")
        return str(path)

    def get_image(self, image_id: str, params: Any = None) -> bytes | None:
        path = Path(self.get_image_uri(image_id))
        return path.read_bytes() if path.is_file() else None

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        path = self.get_image_uri(image_id)
        with self._lock:
            return {**self._all_info().get(image_id, {}), "path": path, "name": Path(path).name}

    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        self.get_image_uri(image_id)
        self._write_info(image_id, info)

    def _write_info(self, image_id: str, info: dict[str, Any]) -> None:
        with self._lock:
            everything = self._all_info()
            everything[image_id] = {**everything.get(image_id, {}), **info}
            self._info_file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._info_file, json.dumps(everything, ensure_ascii=False, default=str))

    def _all_info(self) -> dict[str, dict[str, Any]]:
        if not self._info_file.is_file():
            return {}
        return dict(json.loads(self._info_file.read_text(encoding="utf-8")))

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Copy an image file in. An existing image is never replaced.

        Raises:
            InputError: the id or the file type is not allowed, or the id is taken.
        """
        source = Path(image_filename)
        if not source.name.lower().endswith(IMAGE_EXTENSIONS):
            raise InputError(f"An image must be one of {', '.join(IMAGE_EXTENSIONS)}.")
        image = checked_name(image_id or _image_id(source), "image id")
        with self._lock:
            if image in self._images:
                raise InputError(f"There is an image {image} already. Choose another id, or remove that one first.")
            target = self._root / f"{image}{extension(source)}"
            staged = target.with_name(f".{target.name}.part")
            shutil.copyfile(source, staged)
            staged.replace(target)
            self._images[image] = target
        self.update_image_info(image, {**image_info, "ts": int(time.time())})
        return image

    def add_series(self, source: Path, info: dict[str, Any]) -> str:
        """Copy a DICOM series in from a zip or a DICOM file. An existing series is never replaced.

        Returns:
            The image id: the SeriesInstanceUID (of the largest series, when there are several).

        Raises:
            InputError: there is no DICOM series in it, or it is here already.
        """
        staged = Path(tempfile.mkdtemp(prefix=".incoming-", dir=self._root))
        try:
            with open_source(source) as files:
                for number, file in enumerate(files):
                    shutil.copyfile(file.path, staged / f"{number:05d}.dcm")
            found = list_series(staged)
            if not found:
                raise ImageError("The upload holds no DICOM series. Send other images as one file each.")
            uid = checked_name(found[0].uid, "SeriesInstanceUID")
            with self._lock:
                target = self._root / "uploads" / uid
                if uid in self._images or target.exists():
                    raise InputError(f"The series {uid} is on this server already; nothing was changed.")
                target.parent.mkdir(exist_ok=True)
                staged.rename(target)
                self.refresh()
        finally:
            shutil.rmtree(staged, ignore_errors=True)
        self.update_image_info(uid, {**info, "ts": int(time.time())})
        return uid

    def remove_image(self, image_id: str) -> None:
        path = Path(self.get_image_uri(image_id))
        if path.is_dir():
            raise InputError("A DICOM series is not deleted by the server; remove its files from the folder yourself.")
        with self._lock:
            for tag in self._labels.tags():
                self._labels.remove(image_id, tag)
            path.unlink(missing_ok=True)
            self._images.pop(image_id, None)

    # --- labels

    def labels(self) -> LabelStore:
        """The versioned labels, for history and restore."""
        return self._labels

    def _label(self, label_id: str, tag: str) -> LabelVersion:
        version = self._labels.current(label_id, tag) if label_id in self.list_images() else None
        if version is None:
            raise LabelNotFoundException(f"Image {label_id!r} has no label with tag {tag!r}.")
        return version

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        self.get_image_uri(image_id)
        self._labels.save(image_id, label_tag, Path(label_filename), label_info or {})
        return image_id

    def remove_label(self, label_id: str, label_tag: str) -> None:
        self._label(label_id, label_tag)
        self._labels.remove(label_id, label_tag)

    def get_label(self, label_id: str, label_tag: str, params: Any = None) -> bytes:
        return self._label(label_id, label_tag).file.read_bytes()

    def get_label_uri(self, label_id: str, label_tag: str) -> str:
        return str(self._label(label_id, label_tag).file)

    def get_label_info(self, label_id: str, label_tag: str) -> dict[str, Any]:
        return self._label(label_id, label_tag).info

    def update_label_info(self, label_id: str, label_tag: str, info: dict[str, Any]) -> None:
        self._label(label_id, label_tag)
        self._labels.update_info(label_id, label_tag, info)

    def get_labels_by_image_id(self, image_id: str) -> dict[str, str]:
        return {tag: image_id for tag in self._labels.tags() if self._labels.current(image_id, tag) is not None}

    def get_label_by_image_id(self, image_id: str, tag: str) -> str:
        return self.get_labels_by_image_id(image_id).get(tag, "")

    def get_labeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        done = set(self._labels.images(label_tag or DefaultLabelTag.FINAL.value))
        return [image for image in self.list_images() if image in done]

    def get_unlabeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        done = set(self.get_labeled_images(label_tag))
        return [image for image in self.list_images() if image not in done]

    # --- summaries

    def datalist(self, full_path: bool = True) -> list[dict[str, Any]]:
        tag = DefaultLabelTag.FINAL.value
        pairs = [(self.get_image_uri(i), self.get_label_uri(i, tag)) for i in self.get_labeled_images()]
        if full_path:
            return [{"image": image, "label": label} for image, label in pairs]
        return [{"image": Path(image).name, "label": Path(label).name} for image, label in pairs]

    def get_dataset_archive(self, limit_cases: int | None) -> str:
        """A zip of the labelled images and their final labels; the caller deletes it."""
        handle, name = tempfile.mkstemp(prefix="radfind-dataset-", suffix=".zip")
        with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w") as archive:
            for image in self.get_labeled_images()[: limit_cases or None]:
                source = Path(self.get_image_uri(image))
                for part in sorted(source.iterdir()) if source.is_dir() else [source]:
                    archive.write(part, f"image/{image}/{part.name}" if source.is_dir() else f"image/{part.name}")
                version = self._label(image, DefaultLabelTag.FINAL.value)
                archive.write(version.file, f"label/{image}{extension(version.file)}")
        return name

    def status(self) -> dict[str, Any]:
        counts = {tag: len(self._labels.images(tag)) for tag in self._labels.tags()}
        tags = {tag: count for tag, count in counts.items() if count}  # of a label taken back its versions stay
        return {"total": len(self.list_images()), "completed": len(self.get_labeled_images()), "label_tags": tags}

    def json(self) -> dict[str, Any]:
        """MONAI Label's listing: images with their info and labels."""
        objects: dict[str, Any] = {}
        with self._lock:
            information = self._all_info()
            for image, path in self._images.items():
                labels = {}
                for tag in self._labels.tags():
                    version = self._labels.current(image, tag)
                    if version is not None:
                        labels[tag] = {"ext": extension(version.file), "info": version.info}
                info = {**information.get(image, {}), "name": path.name}
                objects[image] = {
                    "image": {"ext": "" if path.is_dir() else extension(path), "info": info},
                    "labels": labels,
                }
        return {"name": self.name(), "description": self.description(), "objects": objects}


def _image_id(file: Path) -> str:
    return file.name[: -len(next(e for e in IMAGE_EXTENSIONS if file.name.lower().endswith(e)))]
