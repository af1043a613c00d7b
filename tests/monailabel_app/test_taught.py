"""What annotators taught: saved labels as examples, and the case that the examples explain least."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

pytest.importorskip("monailabel", reason="the server extra is not installed")

import radfind
from monailabel_app.strategies import LeastExplained
from monailabel_app.studies import StudiesDatastore
from monailabel_app.taught import Lesson, Taught
from monailabel_app.taught_answers import with_taught
from monailabel_app.volumes import VolumeCache
from radfind.language.lexicon import default_lexicon
from radfind.results import Segment, Segmentation
from radfind.volume import Geometry


def body(kind: str, seed: int) -> np.ndarray:
    """A "scan" of 30 x 40 x 40 voxels of 6 mm: an ellipse with two dark lungs, or with one bright ball."""
    k, j, i = np.meshgrid(*[np.arange(n) for n in (30, 40, 40)], indexing="ij")
    array = np.where(((j - 20) / 12) ** 2 + ((i - 20) / 17) ** 2 < 1, 40.0, -1000.0)
    if kind == "chest":
        for side in (12, 28):
            array[((k - 15) / 13) ** 2 + ((j - 20) / 8) ** 2 + ((i - side) / 6) ** 2 < 1] = -800.0
    else:
        array[((k - 15) ** 2 + (j - 18) ** 2 + (i - 14) ** 2) < 60] = 200.0
    return (array + np.random.default_rng(seed).normal(0, 10, array.shape)).astype(np.int16)


@pytest.fixture
def store(tmp_path: Path) -> StudiesDatastore:
    for name, kind in (("a-chest", "chest"), ("b-chest", "chest"), ("c-belly", "belly")):
        image = sitk.GetImageFromArray(body(kind, len(name) + ord(name[0])))
        image.SetSpacing((6.0, 6.0, 6.0))
        sitk.WriteImage(image, str(tmp_path / f"{name}.nii.gz"))
    return StudiesDatastore(tmp_path)


def teach(store: StudiesDatastore, folder: Path, image: str, info: dict) -> np.ndarray:
    mask = np.zeros((30, 40, 40), np.uint8)
    mask[10:20, 15:25, 10:16] = 2
    label = sitk.GetImageFromArray(mask)
    label.SetSpacing((6.0, 6.0, 6.0))
    file = folder / "saved.nii.gz"
    sitk.WriteImage(label, str(file))
    store.save_label(image, str(file), "final", info)
    return mask == 2


@pytest.mark.parametrize(
    "info", [{"label_info": [{"name": "liver", "idx": 2}]}, {"params": {"label_names": {"liver": 2}}}]
)
def test_saved_labels_are_examples_of_their_concept(
    store: StudiesDatastore, tmp_path_factory: pytest.TempPathFactory, info: dict
) -> None:
    taught = Taught(store, VolumeCache())
    assert taught.lessons() == []
    mask = teach(store, tmp_path_factory.mktemp("saved"), "a-chest", info)
    assert taught.lessons() == [Lesson("liver")]
    ((image, example),) = taught.examples(Lesson("liver")).items()
    assert image == "a-chest"
    np.testing.assert_array_equal(example.mask, mask)
    assert example.name == "liver"
    # A case is no example for itself.
    own = store.get_image_uri("a-chest")
    assert taught.lessons(not_from=own) == []
    assert taught.examples(Lesson("liver"), not_from=own) == {}


def test_a_label_of_one_side_answers_for_that_side_only(
    store: StudiesDatastore, tmp_path_factory: pytest.TempPathFactory
) -> None:
    info = {"params": {"label_names": {"kidney_left": 2, "hepatic cyst": 3, "my own thing": 4}}}
    teach(store, tmp_path_factory.mktemp("saved"), "a-chest", info)
    # A lesion of one patient, and a name that nobody knows, teach nothing about another.
    (lesson,) = Taught(store, VolumeCache()).lessons()
    assert (lesson.concept, lesson.side, lesson.name) == ("kidney", "left", "left kidney")
    answered = {
        text: lesson.answers(radfind.read(text).findings[0]) for text in ("left kidney", "kidney", "右肾", "liver")
    }
    assert answered == {"left kidney": True, "kidney": True, "右肾": False, "liver": False}


def segmentation(*named: tuple[str, str, slice]) -> Segmentation:
    """Segments over slices of a 10 x 1 x 1 grid."""
    segments = []
    for concept, name, where in named:
        mask = np.zeros((10, 1, 1), bool)
        mask[where] = True
        segments.append(Segment(name, mask, default_lexicon().get(concept)))
    return Segmentation(Geometry.from_parts((10, 1, 1)), tuple(segments), engine="own")


def test_everything_with_what_was_taught_has_no_senseless_overlaps() -> None:
    own = segmentation(
        ("trachea", "trachea", slice(0, 2)), ("muscle", "muscle", slice(2, 9)), ("pulmonary_nodule", "n", slice(5, 6))
    )
    shown = segmentation(("liver", "liver", slice(1, 6)), ("spleen", "spleen", slice(5, 8)))
    found = with_taught(own, shown, {"liver": ["a"], "spleen": ["a", "b"]}, [], apart=True)
    where = {segment.name: np.flatnonzero(segment.mask).tolist() for segment in found.segments}
    assert where == {"trachea": [0, 1], "muscle": [8], "n": [5], "liver": [2, 3, 4, 5], "spleen": [6, 7]}
    assert "liver, spleen" in found.engine
    assert "chosen by auto" in found.engine
    assert found.notes == (
        "'liver' answered from the saved labels of a.",
        "'spleen' answered from the saved labels of a, b.",
    )


def test_the_case_unlike_the_examples_is_offered(
    store: StudiesDatastore, tmp_path_factory: pytest.TempPathFactory
) -> None:
    strategy = LeastExplained()
    assert strategy({}, store) == {"id": "a-chest", "weight": 1.0}
    teach(store, tmp_path_factory.mktemp("saved"), "a-chest", {})
    chosen = strategy({}, store)
    assert chosen is not None and chosen["id"] == "c-belly" and 0 < chosen["weight"] < 1
    for image in ("b-chest", "c-belly"):
        teach(store, tmp_path_factory.mktemp("saved"), image, {})
    assert strategy({}, store) is None
