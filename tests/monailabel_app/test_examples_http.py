"""Examples over real HTTP: images of the server, sessions and uploads arrive as the voxels and masks they name."""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("monailabel", reason="the server extra is not installed")

from gateway_fakes import FakeInstance, live

import radfind
from monailabel_app.studies import StudiesDatastore
from monailabel_app.tasks.deepgrow import ClickTask
from monailabel_app.tasks.examples import moved
from monailabel_app.tasks.segment import SegmentTask
from monailabel_app.volumes import VolumeCache
from radfind.client import RadFindClient
from radfind.engines.builtin.by_example.grids import to_image
from radfind.engines.builtin.by_example.registration import Carried, Registration
from radfind.errors import InputError
from radfind.prompts import ExemplarPrompt
from radfind.results import Segment, Segmentation
from radfind.volume import Geometry, Volume
from radfind.wire_masks import WireMask

SHAPE = (30, 40, 40)


def body(seed: int, shift: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A "scan" of 6 mm voxels with one bright ball, moved by `shift` voxels along each axis, and the ball."""
    k, j, i = np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij")
    array = np.where(((j - 20) / 12) ** 2 + ((i - 20) / 17) ** 2 < 1, 40.0, -1000.0)
    ball = (k - 15 - shift) ** 2 + (j - 18 - shift) ** 2 + (i - 14 - shift) ** 2 < 60
    array[ball] = 200.0
    return (array + np.random.default_rng(seed).normal(0, 10, SHAPE)).astype(np.int16), ball


def write(file: Path, array: np.ndarray) -> Path:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((6.0, 6.0, 6.0))
    sitk.WriteImage(image, str(file))
    return file


class Site:
    """A gateway over a datastore with the scans "target" and "taught", and what its engine was asked."""

    def __init__(self, url: str, folder: Path, store: StudiesDatastore) -> None:
        self.client = RadFindClient(url)
        self.folder, self.store = folder, store
        self.asked: list[ExemplarPrompt] = []


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for name in ("studies", "sessions", "saved"):
        (tmp_path / name).mkdir()
    write(tmp_path / "studies" / "target.nii.gz", body(1, 2)[0])
    write(tmp_path / "studies" / "taught.nii.gz", body(2)[0])
    session = write(tmp_path / "sessions" / "own.nrrd", body(3)[0])
    store = StudiesDatastore(tmp_path / "studies")
    volumes = VolumeCache()
    tasks = {
        "radfind_segment": SegmentTask(volumes, store),
        "radfind_deepgrow": ClickTask(volumes, type="deepgrow"),
    }
    entry = types.SimpleNamespace(image=str(session), to_json=dict)
    sessions = types.SimpleNamespace(get_session=lambda name: entry if name == "s-1" else None)
    monkeypatch.setattr(FakeInstance, "datastore", lambda self: store)
    monkeypatch.setattr(FakeInstance, "sessions", lambda self: sessions)
    with live(tmp_path, tasks) as running:
        yield Site(running.url, tmp_path, store)


@pytest.fixture
def echo(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """The site with an engine that notes the examples and answers with their first mask."""

    def segment(volume: Volume, prompts: Sequence[Any], **_: Any) -> Segmentation:
        site.asked += prompts
        return Segmentation(volume.geometry, (Segment(prompts[0].name, prompts[0].mask),), engine="echo")

    monkeypatch.setattr(radfind, "segment", segment)
    return site


def ask(site: Site, *examples: dict[str, Any], uploads: Sequence[tuple[str, Path]] = ()) -> dict[str, Any]:
    prompts = {"prompts": [{"type": "example", **example} for example in examples]}
    return site.client.ask("radfind_segment", "target", uploads=uploads, prompts=prompts)


def packed(mask: np.ndarray) -> dict[str, Any]:
    return WireMask.pack(mask).model_dump()


def test_an_image_of_the_server_and_a_mask_on_its_grid(echo: Site) -> None:
    array, ball = body(2)
    reply = ask(echo, {"name": "ball", "image": "taught", "mask": packed(ball)})
    (example,) = echo.asked
    np.testing.assert_array_equal(example.volume.array, array)
    np.testing.assert_array_equal(example.mask, ball)
    assert reply["label_names"] == {"ball": 1}


def test_a_label_saved_with_the_image(echo: Site) -> None:
    _, ball = body(2)
    file = write(echo.folder / "saved" / "label.nii.gz", np.where(ball, 3, 1).astype(np.uint8))
    echo.store.save_label("taught", str(file), "final", {})
    ask(echo, {"name": "ball", "image": "taught", "label_tag": "final", "value": 3})
    np.testing.assert_array_equal(echo.asked[0].mask, ball)


def test_a_session_and_a_mask_in_another_order_of_its_voxels(echo: Site) -> None:
    array, ball = body(3)
    backwards = Geometry.from_parts(SHAPE, spacing=(6.0,) * 3, origin=(0, 0, 29 * 6.0), direction=np.diag([1, 1, -1]))
    grid = {"shape_kji": SHAPE, "affine_ijk_to_lps": backwards.affine.tolist()}
    ask(echo, {"name": "ball", "session": "s-1", "mask": packed(ball[::-1]), "grid": grid})
    np.testing.assert_array_equal(echo.asked[0].volume.array, array)
    np.testing.assert_array_equal(echo.asked[0].mask, ball)


def test_uploads_are_told_apart_by_their_number(echo: Site) -> None:
    (one, ball), (other, moved_ball) = body(5), body(6, 3)
    files = [
        ("example_label", write(echo.folder / "b.nii.gz", moved_ball.astype(np.uint8))),
        ("example_image", write(echo.folder / "one.nrrd", one)),
        ("example_image", write(echo.folder / "two.mha", other)),
        ("example_label", write(echo.folder / "a.nrrd", ball.astype(np.uint8))),
    ]
    shown = [{"name": "ball", "image_file": n, "label_file": 1 - n} for n in (0, 1)]
    ask(echo, *shown, uploads=files)
    for example, array, mask in zip(echo.asked, (one, other), (ball, moved_ball), strict=True):
        np.testing.assert_array_equal(example.volume.array, array)
        np.testing.assert_array_equal(example.mask, mask)


BALL = packed(body(2)[1])
ELSEWHERE = {"shape_kji": SHAPE, "affine_ijk_to_lps": np.eye(4).tolist()}
LARGER = packed(np.ones((1, 2, 99), bool))


@pytest.mark.parametrize(
    ("example", "names"),
    [
        ({"image": "nobody", "mask": BALL}, "'liver' names an image"),
        ({"image": "../taught", "mask": BALL}, "'liver' names an image"),
        ({"session": "s-2", "mask": BALL}, "no such session"),
        ({"session": "../own", "mask": BALL}, "session id"),
        ({"image_file": 0, "mask": BALL}, "'liver' names file 0 of 'example_image'"),
        ({"image": "taught", "label_file": 2}, "'liver'.*file 2 of 'example_label'"),
        ({"image": "taught", "label_tag": "final"}, "'liver'.*no saved label"),
        ({"image": "taught", "mask": LARGER}, "'liver'.*leaves the image"),
        ({"image": "taught", "mask": BALL, "grid": ELSEWHERE}, "'liver'.*own grid"),
        ({"image": "taught", "session": "s-1", "mask": BALL}, "exactly one of image"),
        ({"image": "taught"}, "exactly one of mask"),
        ({"session": "s-1", "label_tag": "final"}, "label_tag"),
    ],
)
def test_wrong_examples_are_4xx_and_named(echo: Site, example: dict[str, Any], names: str) -> None:
    with pytest.raises(InputError, match=names):
        ask(echo, {"name": "liver", **example})


def test_too_many_and_misplaced_examples(echo: Site) -> None:
    example = {"type": "example", "name": "ball", "image": "taught", "mask": BALL}
    with pytest.raises(InputError, match="at most 8 examples"):
        ask(echo, *[example] * 9)
    with pytest.raises(InputError, match="radfind_segment"):
        echo.client.ask("radfind_deepgrow", "target", prompts={"prompts": [example]})
    for key in ("example_images", "example_labels", "example_sessions"):
        with pytest.raises(InputError, match=f"'{key}' is not allowed"):
            echo.client.ask("radfind_segment", "target", **{key: ["/etc/passwd"]})


def test_an_upload_that_is_no_image_is_refused(echo: Site) -> None:
    file = echo.folder / "evil.nrrd"
    file.write_bytes(b"import os")
    with pytest.raises(InputError, match=r"422.*refused"):
        ask(echo, {"name": "ball", "image_file": 0, "mask": BALL}, uploads=[("example_image", file)])


@given(
    order=st.permutations(range(3)),
    flips=st.tuples(*[st.booleans()] * 3),
    shape=st.tuples(*[st.integers(1, 5)] * 3),
    data=st.data(),
)
@settings(deadline=None)
def test_masks_of_the_same_voxels_in_any_order(
    order: list[int], flips: tuple[bool, ...], shape: tuple[int, int, int], data: st.DataObject
) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    own = Geometry.from_parts(shape, spacing=(2.5, 0.7, 1.1), origin=(5.0, -40.0, 3.0), direction=turn)
    mask = rng.random(shape) < 0.5
    # The same voxels seen by a client that permutes and flips: axis a of its array is axis order[a] of ours.
    seen = mask.transpose(order)
    affine = np.eye(4)
    start = [0, 0, 0]
    for axis, source in enumerate(order):
        sign = 1
        if flips[axis]:
            seen = np.flip(seen, axis)
            start[source], sign = shape[source] - 1, -1
        affine[:3, 2 - axis] = sign * own.affine[:3, 2 - source]
    affine[:3, 3] = own.to_lps(start)
    volume = Volume(np.zeros(shape, np.int16), own)
    np.testing.assert_array_equal(moved(seen, Geometry(seen.shape, affine), volume), mask)


@pytest.fixture
def unbent(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """The site with its own engine; examples are laid on the target as they are (bending takes half a minute)."""

    def carry(self: Registration, mask: np.ndarray, source: Volume) -> Carried:
        label = sitk.Resample(to_image(mask.astype(np.float32), source), self.fixed, sitk.Transform(), sitk.sitkLinear)
        return Carried(sitk.GetArrayFromImage(label), 1.0, 1.0)

    monkeypatch.setattr(Registration, "carry", carry)
    return site


def teach(site: Site, image: str, ball: np.ndarray, name: str) -> None:
    file = write(site.folder / "saved" / f"{image}.nii.gz", np.where(ball, 3, 0).astype(np.uint8))
    site.store.save_label(image, str(file), "final", {"label_info": [{"name": name, "idx": 3}]})


def test_a_text_is_answered_from_saved_labels_where_the_engine_does_not_know_it(unbent: Site) -> None:
    _, ball = body(2)
    teach(unbent, "taught", ball, "liver")
    target = unbent.folder / "found.nrrd"
    reply = unbent.client.ask_file("radfind_segment", "target", target, text="liver, spleen and muscle")
    names = reply["label_names"]
    assert set(names) == {"liver", "muscle"}
    found = sitk.GetArrayFromImage(sitk.ReadImage(str(target))) == names["liver"]
    assert 2.0 * (found & ball).sum() / (found.sum() + ball.sum()) > 0.95
    assert "'liver' answered from the saved labels of taught." in reply["notes"]
    assert "saved labels" in reply["engine"]
    assert "chosen by auto" in reply["engine"]
    assert len(reply["not_supported"]) == 1
    assert "spleen" in reply["not_supported"][0]


def test_a_named_engine_is_not_helped_out_by_saved_labels(unbent: Site) -> None:
    teach(unbent, "taught", body(2)[1], "liver")
    with pytest.raises(InputError, match="does not know 'liver'"):
        unbent.client.ask("radfind_segment", "target", text="liver", engine="builtin")
    with pytest.raises(InputError, match="does not know 'spleen'"):
        unbent.client.ask("radfind_segment", "target", text="spleen")


def test_everything_has_what_was_taught(unbent: Site) -> None:
    _, ball = body(2)
    teach(unbent, "taught", ball, "spleen")
    reply = unbent.client.ask("radfind_segment", "target", prompts={"prompts": [{"type": "everything"}]}, masks=True)
    segments = {entry["name"]: entry for entry in reply["segments"]}
    spleen = segments["spleen"]
    assert "SCT" in spleen["terminology"]
    assert spleen["prompt"] == "everything"
    assert "'spleen' answered from the saved labels of taught." in reply["notes"]
    masks = {name: WireMask.model_validate(entry["mask"]).unpack(SHAPE) for name, entry in segments.items()}
    anatomy = [mask for name, mask in masks.items() if segments[name]["finding"] is None]
    assert np.sum(anatomy, axis=0).max() == 1
    assert reply["not_found"]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_uploaded_case_is_found_again(site: Site) -> None:
    pytest.importorskip("itk", reason="the examples extra is not installed")
    array, ball = body(5)
    files = [
        ("example_image", write(site.folder / "case.nrrd", array)),
        ("example_label", write(site.folder / "case-label.nrrd", ball.astype(np.uint8))),
    ]
    target = site.folder / "found.nrrd"
    prompts = {"prompts": [{"type": "example", "name": "ball", "image_file": 0, "label_file": 0}]}
    reply = site.client.ask_file("radfind_segment", "target", target, uploads=files, prompts=prompts)
    assert reply["label_names"] == {"ball": 1}
    found, truth = sitk.GetArrayFromImage(sitk.ReadImage(str(target))) == 1, body(1, 2)[1]
    assert 2.0 * (found & truth).sum() / (found.sum() + truth.sum()) >= 0.9
