"""Clicks, boxes and scribbles over real HTTP, through the stock MONAI Label client."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from radfind.errors import InputError

monailabel_client = pytest.importorskip("monailabel.client", reason="the server extra is not installed")
MONAILabelClient = monailabel_client.MONAILabelClient


@pytest.fixture
def stock(server, tmp_path: Path):
    return MONAILabelClient(server.url, tmpdir=str(tmp_path))


def lesion(server) -> np.ndarray:
    return server.phantom.truth[server.phantom.lesions[0].name]


def centre(server) -> list[int]:
    """[i, j, k] of the middle of the lesion."""
    return np.rint(np.argwhere(lesion(server)).mean(axis=0)).astype(int)[::-1].tolist()


def dice(file: str, truth: np.ndarray) -> float:
    found = sitk.GetArrayFromImage(sitk.ReadImage(file)) == 1
    return 2.0 * np.logical_and(found, truth).sum() / (found.sum() + truth.sum())


def test_info_shows_the_tasks_where_stock_clients_look(stock) -> None:
    models = stock.info()["models"]
    for kind in ("deepgrow", "deepedit", "scribbles"):
        assert models[f"radfind_{kind}"]["type"] == kind
        assert models[f"radfind_{kind}"]["dimension"] == 3


@pytest.mark.parametrize("task", ["radfind_deepgrow", "radfind_deepedit"])
@pytest.mark.parametrize("source", ["nifti", "series"])
def test_a_click_as_smart_edit_sends_it(stock, server, task: str, source: str) -> None:
    request = {"label": "Lesion 1", "foreground": [centre(server)], "background": [], "roi": []}
    file, params = stock.infer(task, getattr(server, source), request)
    assert params["label_names"] == {"Lesion 1": 1}
    truth = lesion(server)
    stored_backwards = params["volume"]["reversed_k"]
    assert not stored_backwards
    assert dice(file, truth) >= 0.8


def test_a_region_of_interest(stock, server) -> None:
    index = np.argwhere(lesion(server))
    low, high = index.min(axis=0)[::-1].tolist(), index.max(axis=0)[::-1].tolist()
    roi = [high[0], low[0], low[1], high[1], low[2], high[2]]  # either end may come first
    file, _ = stock.infer("radfind_deepgrow", server.nifti, {"foreground": [], "background": [], "roi": roi})
    assert dice(file, lesion(server)) >= 0.88


def test_scribbles(stock, server, tmp_path: Path) -> None:
    image = sitk.ReadImage(str(server.folder / "second.nii.gz"))
    painted = np.zeros(lesion(server).shape, np.uint8)
    i, j, k = centre(server)
    painted[k, j, i - 2 : i + 3] = 7
    ring = np.argwhere(lesion(server)[k])
    radius = int(np.ptp(ring[:, 0]) / 2) + 5
    painted[k, j - radius : j + radius, i - radius] = 6
    painted[k, j - radius : j + radius, i + radius] = 6
    label = sitk.GetImageFromArray(painted)
    label.CopyInformation(image)
    file = tmp_path / "scribbles.nii.gz"
    sitk.WriteImage(label, str(file))
    info = [{"name": "background_scribbles", "id": 6}, {"name": "foreground_scribbles", "id": 7}]
    request = {"label_info": info, "selected_label_name": "mine", "roi": []}
    result, params = stock.infer("radfind_scribbles", server.nifti, request, label_in=str(file))
    assert params["label_names"] == {"mine": 1}
    assert dice(result, lesion(server)) >= 0.7


def test_any_mix_in_millimetres(server) -> None:
    geometry = server.phantom.volume.geometry
    i, j, k = centre(server)
    away = geometry.to_lps((k, j, i + 30))
    prompts = [
        {"type": "point", "space": "lps", "position": geometry.to_lps((k, j, i)).tolist()},
        {"type": "point", "space": "lps", "position": away.tolist(), "positive": False},
    ]
    reply = server.client.ask("radfind_segment", server.series, prompts={"prompts": prompts})
    assert reply["segments"][0]["volume_ml"] == pytest.approx(
        lesion(server).sum() * geometry.voxel_volume / 1000, rel=0.3
    )


def test_a_lasso_in_millimetres_and_a_wrong_one(server) -> None:
    geometry = server.phantom.volume.geometry
    i, j, k = centre(server)
    radius = np.ptp(np.argwhere(lesion(server)[k]), axis=0).max() / 2 + 3
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    line = [geometry.to_lps((k, j + radius * np.sin(a), i + radius * np.cos(a))).tolist() for a in turn]
    lasso = {"type": "lasso", "space": "lps", "positions": line}
    reply = server.client.ask("radfind_segment", server.nifti, prompts={"prompts": [lasso]})
    assert reply["segments"][0]["volume_ml"] == pytest.approx(
        lesion(server).sum() * geometry.voxel_volume / 1000, rel=0.3
    )
    crooked = {"type": "lasso", "positions": [[k, j, i], [k + 4, j + 9, i], [k, j, i + 9]]}
    for task in ("radfind_segment", "radfind_deepgrow"):
        with pytest.raises(InputError, match=r"Lasso 1.*one slice"):
            server.client.ask(task, server.nifti, prompts={"prompts": [crooked]})


def test_odd_but_sound_clicks_are_answered(stock, server) -> None:
    middle = centre(server)
    shape = lesion(server).shape[::-1]
    corner = [n - 1 for n in shape]
    again = {"foreground": [middle, middle, middle], "background": [[0, 0, 0], corner]}
    file, _ = stock.infer("radfind_deepgrow", server.nifti, again)
    assert dice(file, lesion(server)) >= 0.8
    stock.infer("radfind_deepgrow", server.nifti, {"foreground": [[0, 0, 0]], "background": []})
    inside = np.argwhere(lesion(server))[:, ::-1]
    thousand = [inside[n % len(inside)].tolist() for n in range(1000)]
    file, _ = stock.infer("radfind_deepgrow", server.nifti, {"foreground": thousand, "background": [corner]})
    assert dice(file, lesion(server)) >= 0.8


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({"foreground": [[5, 5, 5], [9999, 0, 0]]}, r"foreground\[1\]"),
        ({"foreground": [[-3, 0, 0]]}, r"foreground\[0\]"),
        ({"foreground": [[5, 5]]}, r"foreground\[0\]"),
        ({"foreground": "here"}, "foreground"),
        ({"foreground": [[5, 5, 5]], "background": [[5, 5, 5]]}, "Point 2"),
        ({"foreground": [], "background": [[5, 5, 5]]}, "positive"),
        ({"foreground": [], "background": []}, "foreground"),
        ({"roi": [1, 2, 3]}, "roi"),
        ({"roi": [900, 950, 900, 950, 900, 950]}, "Box 1"),
    ],
)
def test_wrong_clicks_are_4xx_and_named(server, params: dict, names: str) -> None:
    with pytest.raises(InputError, match=names):
        server.client.ask("radfind_deepgrow", server.nifti, **params)


@pytest.mark.parametrize("task", ["radfind_deepgrow", "radfind_deepedit"])
@pytest.mark.parametrize(
    ("request_", "names"),
    [
        ({"foreground": [[5, 5, 5], [9999, 0, 0]], "background": []}, r"foreground\[1\]"),
        ({"foreground": [[5, 5, 5]], "background": [[5, 5, 5]]}, "Point 2"),
        ({"foreground": [], "background": [[0, 0, 0]]}, "positive"),
    ],
)
def test_the_stock_client_is_told_which_click_is_wrong(stock, server, task: str, request_: dict, names: str) -> None:
    with pytest.raises(Exception, match=rf"4\d\d[\s\S]*{names}"):
        stock.infer(task, server.nifti, {"label": "a", "roi": [], **request_})


def painted(server, folder: Path, spots: dict[int, list[tuple[int, int, int]]], *, shift: float = 0.0) -> str:
    """A labelmap file in the image's grid with `spots` ((k, j, i)) of each value, moved by `shift` mm."""
    image = sitk.ReadImage(str(server.folder / "second.nii.gz"))
    array = np.zeros(lesion(server).shape, np.uint8)
    for value, places in spots.items():
        array[tuple(np.array(places).T)] = value
    label = sitk.GetImageFromArray(array)
    label.CopyInformation(image)
    label.SetOrigin([x + shift for x in image.GetOrigin()])
    file = folder / "painted.nii.gz"
    sitk.WriteImage(label, str(file))
    return str(file)


def test_odd_but_sound_scribbles_are_answered(stock, server, tmp_path: Path) -> None:
    inside = [tuple(place) for place in np.argwhere(lesion(server)).tolist()]
    corners = [(k, j, i) for k in (0, -1) for j in (0, -1) for i in (0, -1)]
    everywhere = painted(server, tmp_path, {3: inside, 2: corners})  # all of it, and every corner
    file, _ = stock.infer("radfind_scribbles", server.nifti, {}, label_in=everywhere)
    assert dice(file, lesion(server)) >= 0.8
    corner = painted(server, tmp_path, {3: [(0, 0, 0), (0, 0, 1), (0, 1, 0)]})
    file, _ = stock.infer("radfind_scribbles", server.nifti, {}, label_in=corner)
    assert sitk.GetArrayFromImage(sitk.ReadImage(file))[0, 0, 0] == 1


def test_wrong_scribbles_are_4xx_and_named(stock, server, tmp_path: Path) -> None:
    only_background = painted(server, tmp_path, {2: [(5, 5, 5)]})
    with pytest.raises(Exception, match=r"4\d\d[\s\S]*does not belong"):
        stock.infer("radfind_scribbles", server.nifti, {}, label_in=only_background)
    elsewhere = painted(server, tmp_path, {3: [(5, 5, 5)]}, shift=40.0)
    with pytest.raises(Exception, match=r"4\d\d[\s\S]*scribbles in \W+label"):
        stock.infer("radfind_scribbles", server.nifti, {}, label_in=elsewhere)
    on_it = painted(server, tmp_path, {3: [(5, 5, 5)]})
    info = [{"name": "foreground_scribbles"}]
    with pytest.raises(Exception, match=r"4\d\d[\s\S]*label_info"):
        stock.infer("radfind_scribbles", server.nifti, {"label_info": info}, label_in=on_it)


def test_a_click_on_a_file_that_stores_its_slices_backwards(stock, server, tmp_path: Path) -> None:
    """The client counts k as the file does; the labelmap comes back in the file's own order."""
    image = sitk.ReadImage(str(server.folder / "second.nii.gz"))
    backwards = image[:, :, ::-1]
    assert backwards.GetDirection()[8] < 0
    file = tmp_path / "backwards.nrrd"
    sitk.WriteImage(backwards, str(file))
    i, j, k = centre(server)
    click = [i, j, backwards.GetSize()[2] - 1 - k]
    session = stock.create_session(str(file))["session_id"]
    result, params = stock.infer(
        "radfind_deepgrow", "", {"foreground": [click], "background": [], "roi": []}, session_id=session
    )
    assert params["volume"]["reversed_k"]
    found = sitk.ReadImage(result)
    assert found.GetDirection() == pytest.approx(backwards.GetDirection())
    np.testing.assert_allclose(found.GetOrigin(), backwards.GetOrigin(), atol=1e-3)
    assert dice(result, lesion(server)[::-1]) >= 0.8
    stock.remove_session(session)


def test_scribbles_without_paint_are_named(server, stock, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="label"):
        server.client.ask("radfind_scribbles", server.nifti)
    image = sitk.ReadImage(str(server.folder / "second.nii.gz"))
    label = sitk.Cast(image, sitk.sitkUInt8) * 0
    file = tmp_path / "empty.nii.gz"
    sitk.WriteImage(label, str(file))
    with pytest.raises(Exception, match=r"4\d\d[^$]*scribbles"):
        stock.infer("radfind_scribbles", server.nifti, {}, label_in=str(file))
    assert json.dumps(stock.info())
