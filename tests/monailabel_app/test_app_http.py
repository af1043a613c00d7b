"""Every task over real HTTP, through the stock MONAI Label client."""

from __future__ import annotations

import json
import os
from pathlib import Path

import httpx
import numpy as np
import pytest
import SimpleITK as sitk

from radfind.errors import InputError

monailabel_client = pytest.importorskip("monailabel.client", reason="the server extra is not installed")
MONAILabelClient = monailabel_client.MONAILabelClient
TEXT = "A 16 mm solid nodule in the right upper lobe."


@pytest.fixture
def stock(server, tmp_path: Path):
    return MONAILabelClient(server.url, tmpdir=str(tmp_path))


def lesion(server) -> np.ndarray:
    return server.phantom.truth[server.phantom.lesions[0].name]


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2.0 * np.logical_and(a, b).sum() / (a.sum() + b.sum())


def test_info_lists_the_tasks_in_stock_form(stock) -> None:
    info = stock.info()
    types = {name: model["type"] for name, model in info["models"].items()}
    assert types["radfind_segment"] == "segmentation"
    assert types["radfind_bookmarks"] == "detection"
    assert types["radfind_rank"] == types["radfind_verify"] == "others"
    assert info["models"]["radfind_segment"]["config"]["text"]
    assert {"random", "first"} <= set(info["strategies"])
    assert info["labels"] == ["object"]  # what stock clients begin with; a long list would fill their scenes


def test_segment_lands_on_the_lesion_in_the_images_geometry(stock, server) -> None:
    file, params = stock.infer("radfind_segment", server.nifti, {"text": TEXT})
    label = sitk.ReadImage(file)
    image = sitk.ReadImage(str(server.folder / "second.nii.gz"))
    for get in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(label, get)(), getattr(image, get)(), atol=1e-4)
    found = sitk.GetArrayFromImage(label)
    assert sorted(np.unique(found)) == list(range(len(params["label_names"]) + 1))
    assert sorted(params["label_names"].values()) == list(range(1, len(params["label_names"]) + 1))
    assert dice(found > 0, lesion(server)) >= 0.8
    assert "SCT^" in params["segments"][0]["terminology"]


def test_labelmaps_are_compressed_unless_asked_not_to_be(stock, server) -> None:
    small, _ = stock.infer("radfind_segment", server.series, {"text": TEXT})
    large, _ = stock.infer("radfind_segment", server.series, {"text": TEXT, "result_compress": False})
    assert b"encoding: gzip" in Path(small).read_bytes()[:2000]
    assert b"encoding: raw" in Path(large).read_bytes()[:2000]


def test_an_empty_answer_is_a_file_that_says_so(stock, server) -> None:
    file, params = stock.infer("radfind_segment", server.series, {"text": "large left pneumothorax"})
    assert not sitk.GetArrayFromImage(sitk.ReadImage(file)).any()
    assert params["label_names"] == {}
    assert params["not_found"]


def test_rank_is_json_with_slice_identity(stock, server) -> None:
    file, reply = stock.infer("radfind_rank", server.series, {"text": TEXT, "top_k": 3})
    reply = json.loads(reply) if isinstance(reply, bytes) else reply
    assert file is None
    best = reply["slices"][0]
    first, last = server.phantom.lesions[0].slices
    assert first <= best["index"] <= last
    assert best["sop_instance_uid"] == reply["volume"]["sop_instance_uids"][best["index"]]
    where = server.phantom.volume.geometry.to_index(best["position_lps"])
    assert where[0] == pytest.approx(best["index"], abs=0.01)


def test_bookmarks_are_markups_on_the_same_slices(stock, server) -> None:
    file, _ = stock.infer("radfind_bookmarks", server.series, {"text": TEXT, "top_k": 3})
    markup = json.loads(Path(file).read_text())["markups"][0]
    ranking = server.client.ask("radfind_rank", server.series, text=TEXT, top_k=3)
    geometry = server.phantom.volume.geometry
    assert markup["coordinateSystem"] == "LPS"
    indices = [round(float(geometry.to_index(point["position"])[0])) for point in markup["controlPoints"]]
    assert indices == [item["index"] for item in ranking["slices"]]


@pytest.mark.parametrize(
    ("text", "answer"),
    [(TEXT, "yes"), ("右肺上叶见一实性结节，直径约16mm。", "yes"), ("Nodule in the left upper lobe, 16 mm.", "no")],
)
def test_verify(server, text: str, answer: str) -> None:
    (verdict,) = server.client.ask("radfind_verify", server.series, text=text)["verdicts"]
    assert verdict["answer"] == answer
    assert verdict["reason"]


def test_strategies_offer_unlabelled_cases_and_labels_come_back(stock, server, tmp_path: Path) -> None:
    assert stock.next_sample("first", {})["id"] == sorted([server.series, server.nifti])[0]
    assert stock.next_sample("random", {})["id"] in (server.series, server.nifti)
    label, _ = stock.infer("radfind_segment", server.nifti, {"text": TEXT})
    kept = tmp_path / "mine.nrrd"
    kept.write_bytes(Path(label).read_bytes())
    stock.save_label(server.nifti, str(kept), params={"author": "test"})
    assert Path(stock.download_label(server.nifti, "final")).read_bytes() == kept.read_bytes()
    assert stock.next_sample("first", {})["id"] == server.series


def test_a_session_answers_about_an_uploaded_image(stock, server) -> None:
    session = stock.create_session(str(server.folder / "second.nii.gz"))["session_id"]
    file, _ = stock.infer("radfind_segment", "", {"text": TEXT}, session_id=session)
    assert dice(sitk.GetArrayFromImage(sitk.ReadImage(file)) > 0, lesion(server)) >= 0.8
    stock.remove_session(session)


@pytest.mark.parametrize(
    ("task", "params", "names"),
    [
        ("radfind_rank", {"text": ""}, "empty"),
        ("radfind_rank", {"text": "x" * 1_000_000}, "characters"),
        ("radfind_rank", {"text": "nodule", "top_k": "many"}, "top_k"),
        ("radfind_segment", {"text": "nodule", "result_extension": ".exe"}, "result_extension"),
        ("radfind_segment", {"prompts": {"prompts": [{"type": "point", "position": [1]}]}}, "position"),
        ("radfind_segment", {"text": "pancreatic duct"}, "pancreatic duct"),
        ("radfind_verify", {"text": "nodule", "engine": "oracle"}, "engine.*builtin"),
    ],
)
def test_wrong_requests_are_4xx_and_named(server, task: str, params: dict, names: str) -> None:
    with pytest.raises(InputError, match=names):
        server.client.ask(task, server.series, **params)


def test_unknown_images_and_models_are_4xx(server) -> None:
    with pytest.raises(InputError, match="image"):
        server.client.ask("radfind_rank", "nobody", text="nodule")
    with pytest.raises(InputError):
        server.client.ask("no_such_model", server.series, text="nodule")


def test_a_report_is_held_against_every_image_named(stock, server) -> None:
    text = "A 16 mm solid nodule in the left upper lobe.\nIn figure 2 there is a nodule in the right upper lobe."
    _, reply = stock.infer("radfind_report", server.series, {"text": text, "figures": server.nifti})
    reply = json.loads(reply) if isinstance(reply, bytes) else reply
    assert [one["answer"] for one in reply["statements"]] == ["no", "yes"]
    assert [[v["figure"] for v in one["verdicts"]] for one in reply["statements"]] == [
        ["Figure 1", "Figure 2"],
        ["Figure 2"],
    ]
    assert reply["summary"][0].startswith("Paragraph 1 does not agree with Figure 1")


def test_a_second_click_reads_nothing(stock, server) -> None:
    """The image's bytes are destroyed behind the server's back, with size and date kept: nobody looks again."""
    original = server.folder / f"{server.nifti}.nii.gz"
    file = server.folder / "warm.nii.gz"
    assert stock.upload_image(str(original), "warm")["image"] == "warm"
    middle = np.rint(np.argwhere(lesion(server)).mean(axis=0)).astype(int)[::-1].tolist()
    click = {"foreground": [middle], "background": []}
    first, _ = stock.infer("radfind_deepgrow", "warm", dict(click))
    stat = file.stat()
    file.write_bytes(bytes(stat.st_size))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    second, _ = stock.infer("radfind_deepgrow", "warm", dict(click))
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(first)), sitk.GetArrayFromImage(sitk.ReadImage(second)))
    os.utime(file)
    with pytest.raises(monailabel_client.client.MONAILabelClientException):
        stock.infer("radfind_deepgrow", "warm", dict(click))  # a file that was replaced is read again


def test_a_running_job_tells_its_progress_and_is_cancelled(server) -> None:
    """The engine computes in another process: its steps arrive here, and the word to stop arrives there."""
    with httpx.Client(base_url=server.url) as client:
        form = {"params": json.dumps({"text": "a 4 mm calcified nodule in the left lower lobe"})}
        query = {"model": "radfind_segment", "image": server.series}
        job = client.post("/radfind/jobs", params=query, data=form).json()["id"]
        states, messages = [], []
        with client.stream("GET", f"/radfind/jobs/{job}/events") as stream:
            for line in stream.iter_lines():
                if not line.startswith("data: "):
                    continue
                wire = json.loads(line[6:])
                states.append(wire["state"])
                messages.append(wire["message"])
                if states[-1] == "running" and wire["message"]:
                    client.delete(f"/radfind/jobs/{job}")
        assert states[-1] in ("cancelled", "done")  # done: it had come to its end already
        assert any(messages)
