"""Uploads: decoded in a child with limits; what is broken or meant to break is refused with a reason."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from gateway_fakes import FakeTask, Live, live, nrrd

from monailabel_app.gateway import checks, decode
from monailabel_app.gateway.errors import Refusal
from monailabel_app.gateway.settings import Settings

DECODE_MEMORY = 3 << 30


def upload(server: Live, name: str, content: bytes) -> httpx.Response:
    files = {"file": (name, content), "params": (None, "{}")}
    return httpx.post(f"{server.url}/infer/fake", files=files, timeout=200)


def png(width: int, height: int, *, rows: int | None = None) -> bytes:
    """A picture that declares a size and holds all of its rows or fewer; its pixels are zeros, packed to almost
    nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(bytes(width + 1)) for _ in range(height if rows is None else rows)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def nifti(shape: tuple[int, int, int], *, real: int = 64) -> bytes:
    """A NIfTI-1 file that declares `shape` int16 voxels and holds `real` bytes."""
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *shape, 1, 1, 1, 1)
    struct.pack_into("<hh", header, 70, 4, 16)
    struct.pack_into("<8f", header, 76, 1, 1, 1, 1, 1, 1, 1, 1)
    struct.pack_into("<f", header, 108, 352)
    header[344:348] = b"n+1\0"
    return bytes(header) + bytes(real)


def zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def detached_nrrd(line: str) -> bytes:
    """A header whose voxels would be read from another file of the server."""
    return f"NRRD0004\ntype: uchar\ndimension: 2\nsizes: 30 30\nencoding: raw\n{line}\n".encode()


METAIMAGE = b"ObjectType = Image\nNDims = 2\nDimSize = 30 30\nElementType = MET_UCHAR\nElementDataFile = /etc/passwd\n"

BOMBS = {
    "declares 65535 x 65535 x 65535": ("a.nrrd", nrrd().replace(b"sizes: 8 8 8", b"sizes: 65535 65535 65535")),
    "declares 32767 cubed": ("a.nii", nifti((32767, 32767, 32767))),
    "declares 5 GB, holds 50 MB of zeros": ("a.nii.gz", gzip.compress(nifti((2048, 2048, 600), real=50 << 20), 1)),
    "zip that climbs": ("a.zip", zipped({"../../../tmp/evil.dcm": b"x"})),
    "zip of zeros": ("a.zip", zipped({"a.dcm": bytes(300 << 20)})),
    "zip of nothing": ("a.zip", zipped({})),
    "a script called image": ("a.nrrd", b"import os"),
    "a pickle called NIfTI": ("a.nii.gz", gzip.compress(b"\x80\x04\x95")),
    "half a file": ("a.nrrd", nrrd()[:200]),
    "nothing": ("a.nii.gz", b""),
    "text called DICOM": ("a.dcm", b"hello" * 100),
    "a detached header naming another file": ("a.nrrd", detached_nrrd("data file: /etc/passwd")),
    "an old detached header": ("a.nrrd", detached_nrrd("DataFile:/etc/passwd")),
    "a detached header in a zip": ("a.zip", zipped({"a.nrrd": detached_nrrd("data file: /etc/passwd")})),
    "MetaImage naming another file": ("a.mha", METAIMAGE),
    "a detached NRRD header": ("a.nhdr", detached_nrrd("data file: a.raw")),
    "a detached MetaImage header": ("a.mhd", METAIMAGE),
    "an Analyze header": ("a.hdr", nifti((4, 4, 4))),
    "a detached header called DICOM": ("a.dcm", detached_nrrd("data file: /etc/passwd")),
    "MetaImage called DICOM": ("a.dcm", METAIMAGE),
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_and_broken_files(tmp_path: Path, bomb: str) -> None:
    name, content = BOMBS[bomb]
    task = FakeTask()
    with live(tmp_path, {"fake": task}, decode_memory=DECODE_MEMORY) as server:
        answer = upload(server, name, content)
        assert answer.status_code in (400, 422), answer.text
        assert len(answer.json()["detail"]) > 20 and "root:" not in answer.text
        assert not task.requests and not list((server.state / "uploads").iterdir())


@pytest.mark.parametrize("memory", [DECODE_MEMORY, Settings.decode_memory])
def test_a_picture_of_65535_squared_is_refused_by_its_header(tmp_path: Path, memory: int) -> None:
    picture = png(65535, 65535, rows=64)
    with live(tmp_path, {"fake": FakeTask()}, decode_memory=memory) as server:
        answer = upload(server, "a.png", picture)
        assert answer.status_code == 422 and "65535 x 65535" in answer.text and "memory" in answer.text
        label = {"file": ("a.nrrd", nrrd()), "label": ("a.png", picture)}
        assert httpx.post(f"{server.url}/infer/fake", files=label).status_code == 422


@pytest.mark.slow
def test_a_whole_picture_of_65535_squared(tmp_path: Path) -> None:
    with live(tmp_path, {"fake": FakeTask()}, decode_memory=DECODE_MEMORY) as server:
        assert upload(server, "a.png", png(65535, 65535)).status_code == 422


def test_sound_files(tmp_path: Path) -> None:
    task = FakeTask()
    with live(tmp_path, {"fake": task}, decode_memory=DECODE_MEMORY) as server:
        sound = {"a.nrrd": nrrd(), "a.png": png(40, 30), "a.nii.gz": gzip.compress(nifti((4, 4, 4), real=128))}
        for name, content in sound.items():
            answer = upload(server, name, content)
            assert answer.status_code == 200, (name, answer.text)
        assert len(task.requests) == 3


def test_malformed_dicom(tmp_path: Path, shared_data: Callable[[str], Path]) -> None:
    """Each file of the corpus, alone: 4xx with a reason, or read; never a 5xx, never a hang."""
    folder = shared_data("malformed-dicom")
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "LICENSE")
    chosen = files[:: max(1, len(files) // 12)]
    with live(tmp_path, {"fake": FakeTask()}, decode_memory=DECODE_MEMORY) as server:
        for file in chosen:
            assert upload(server, "a.dcm", file.read_bytes()).status_code in (200, 400, 422), file
        assert httpx.get(f"{server.url}/health").status_code == 200


@pytest.mark.slow
def test_all_malformed_dicom(tmp_path: Path, shared_data: Callable[[str], Path]) -> None:
    folder = shared_data("malformed-dicom")
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "LICENSE")
    seen: dict[int, int] = {}
    with live(tmp_path, {"fake": FakeTask()}, decode_memory=DECODE_MEMORY) as server:
        for file in files:
            status = upload(server, "a.dcm", file.read_bytes()).status_code
            seen[status] = seen.get(status, 0) + 1
    print(seen)
    assert set(seen) <= {200, 400, 422}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.nhdr", detached_nrrd("data file: /etc/passwd")),
        ("a.nhdr", nrrd()),
        ("a.mhd", METAIMAGE),
        ("image", detached_nrrd("datafile: LIST")),
        ("image", METAIMAGE.replace(b"/etc/passwd", b"slice%03d.raw 1 9 1")),
    ],
)
def test_the_decoder_follows_no_header_to_another_file(tmp_path: Path, name: str, content: bytes) -> None:
    """Also under names that the gateway would not have let through to it."""
    (tmp_path / name).write_bytes(content)
    for kind in ("image", "label", "session"):
        assert "another file" in str(decode.main(kind, tmp_path / name))


def test_a_label_is_decoded_too(tmp_path: Path) -> None:
    with live(tmp_path, {"fake": FakeTask()}, decode_memory=DECODE_MEMORY) as server:
        url = f"{server.url}/datastore/label?image=scan&tag=final"
        assert httpx.put(url, files={"label": ("a.nrrd", nrrd())}).status_code == 200
        assert httpx.put(url, files={"label": ("a.json", b'{"markups": []}')}).status_code == 200
        assert httpx.put(url, files={"label": ("a.nrrd", b"NRRD0004\nnonsense")}).status_code == 422
        assert httpx.put(url, files={"label": ("a.py", b"import os")}).status_code == 400
        assert httpx.put(url, files={"label": ("a.json", b"{")}).status_code == 422
        assert httpx.put(url, data={"params": "{}"}).status_code == 422


@pytest.mark.parametrize("value", ["a", "A-1.2_b", "1.2.840.113619", "x" * 128])
def test_ids(value: str) -> None:
    assert checks.checked_id(value, "id") == value


@pytest.mark.parametrize("value", ["", ".", "..", "a/b", "a\\b", "a b", "-a", "é", "a\n", "x" * 129, "a..b", "%2e"])
def test_bad_ids(value: str) -> None:
    with pytest.raises(Refusal):
        checks.checked_id(value, "id")


@pytest.mark.parametrize("value", ["/a", "a/b", "../a", "~root", ".x", "a\0", "", "x" * 300, "a\\b"])
def test_image_ids_that_could_walk(value: str) -> None:
    with pytest.raises(Refusal) as refused:
        checks.checked_image_id(value, [value])
    assert refused.value.status == 400


def test_image_ids_of_a_clinic() -> None:
    for value in ("Thorax 2.0 (B31f)", "肺结节 1", "Müller"):
        assert checks.checked_image_id(value, [value]) == value
    with pytest.raises(Refusal) as refused:
        checks.checked_image_id("other", ["scan"])
    assert refused.value.status == 404


def test_params_of_stock_clients() -> None:
    """What stock 3D Slicer, OHIF and DeepEdit send."""
    for params in (
        {"client_id": "user-xyz", "text": "3/5 mm nodule; see ../prior", "engine": "builtin", "result_compress": False},
        {"foreground": [[1, 2, 3]], "background": [], "roi": [1, 2, 3, 4, 5, 6], "result_extension": ".nii.gz"},
        {"spleen": [[140, 210, 28]], "left kidney": [], "device": "cuda:0", "result_dtype": "uint8"},
        {"label_info": [{"name": "a / b", "idx": 1}], "prompts": {"version": 1, "prompts": []}},
    ):
        assert checks.checked_params(params) == params


def test_choices_of_a_task_limit_the_value() -> None:
    config = {"engine": ["auto", "builtin"]}
    assert checks.checked_params({"engine": "auto"}, config) == {"engine": "auto"}
    with pytest.raises(Refusal, match="one of: auto, builtin"):
        checks.checked_params({"engine": "other"}, config)


def test_deep_and_long_params() -> None:
    deep: object = 1
    for _ in range(20):
        deep = [deep]
    with pytest.raises(Refusal):
        checks.checked_params({"a": deep})
    with pytest.raises(Refusal) as refused:
        checks.parsed_params(json.dumps({"a": "x" * checks.MAX_PARAMS_CHARS}))
    assert refused.value.status == 413


@pytest.mark.parametrize(
    "params",
    [
        r'{"text": "\ud800"}',  # half a character: no log, hash or file can hold it
        r'{"prompts": {"\udfff": 1}}',
        '{"text": [{"image": "/etc/passwd"}]}',
        '{"x": 1e999}',
        '{"foreground": [[1, 2, -1e999]]}',
        '{"roi": [1, 2, 3, 4, 5, 1e999]}',
        '{"x": ' + "9" * 4000 + "}",
        '{"x": {"../y": 1}}',
        '{"x": {"path": 1}}',
        '{"prompts": ' + "[" * 400 + "]" * 400 + "}",  # a process could not hand it to another
    ],
)
def test_params_that_would_break_what_comes_after(params: str) -> None:
    with pytest.raises(Refusal) as refused:
        checks.checked_params(checks.parsed_params(params))
    assert refused.value.status == 400 and len(refused.value.detail) < 200


def test_text_beyond_the_first_plane_passes() -> None:
    assert checks.parsed_params(r'{"text": "\ud83e\udec1 \u80ba"}') == {"text": "\U0001fac1 肺"}


def test_a_refusal_does_not_tell_where_uploads_lie(tmp_path: Path) -> None:
    with live(tmp_path, {"fake": FakeTask()}, decode_memory=DECODE_MEMORY) as server:
        answer = upload(server, "a.nrrd", nrrd()[:200])
        assert answer.status_code == 422 and "uploads" not in answer.text and str(tmp_path) not in answer.text
