"""Each open door of plain MONAI Label: open there, closed here."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from gateway_fakes import nrrd

pytest.importorskip("monailabel", reason="the server extra is not installed")
SECRET = "secret of another program"


class Two:
    """Both servers, the folder above their studies, and what the process logged."""

    def __init__(self, plain: str, ours: str, folder: Path) -> None:
        # plain closes a connection after each of its bare 500s
        self.plain = httpx.Client(base_url=plain, timeout=30, limits=httpx.Limits(max_keepalive_connections=0))
        self.ours = httpx.Client(base_url=ours, timeout=30)
        self.folder = folder

    def log(self) -> str:
        time.sleep(0.2)
        return (self.folder / "log").read_text()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    folder = tmp_path_factory.mktemp("two")
    (folder / "studies").mkdir()
    (folder / "studies" / "scan.nrrd").write_bytes(nrrd())
    (folder / "secret.txt").write_text(SECRET)
    command = [
        sys.executable,
        str(Path(__file__).parent / "two_servers.py"),
        str(folder / "studies"),
        str(folder / "s"),
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        assert process.stdin is not None and process.stdout is not None
        plain, ours = "", ""
        for line in process.stdout:
            if line.startswith("http://"):
                plain, ours = line.split()
                break
        try:
            yield Two(plain, ours, folder)
        finally:
            process.stdin.close()
            process.terminate()
            process.wait(20)


def infer(client: httpx.Client, image: str, params: object = None, model: str = "echo", **query: str) -> httpx.Response:
    return client.post(f"/infer/{model}", params={"image": image, **query}, data={"params": json.dumps(params or {})})


def test_both_answer_a_fair_question(two: Two) -> None:
    for client in (two.plain, two.ours):
        answer = infer(client, "scan")
        assert answer.status_code == 200 and answer.json()["head"].startswith("NRRD")


def test_any_file_of_the_machine_as_image(two: Two) -> None:
    secret = str(two.folder / "secret.txt")
    assert infer(two.plain, secret).json()["head"] == SECRET[:20]
    for image in (secret, "../secret.txt", f"{two.folder}/studies/../secret.txt", "/etc/passwd", "%2Fetc%2Fpasswd"):
        answer = infer(two.ours, image)
        assert answer.status_code in (400, 404) and SECRET[:20] not in answer.text


@pytest.mark.parametrize("key", ["image", "model", "Image", "image_path", "label", "session", "context"])
def test_params_that_replace_what_was_asked(two: Two, key: str) -> None:
    secret = str(two.folder / "secret.txt")
    assert infer(two.plain, "scan", {"image": secret}).json()["head"] == SECRET[:20]
    assert infer(two.plain, "scan", {"model": "sleep", "seconds": 0.01}).json() == {"slept": True}
    assert infer(two.ours, "scan", {key: secret}).status_code == 400


def test_params_that_name_paths(two: Two) -> None:
    for value in ("/etc/passwd", "../x", "~/x", "file:///etc/passwd", "C:\\x", ["ok", "/etc/passwd"]):
        assert infer(two.ours, "scan", {"option": value}).status_code == 400
    for value in ("cuda:0", ".nii.gz", 3, [[1, 2, 3]], True, None):
        assert infer(two.ours, "scan", {"option": value}).status_code == 200


def save(client: httpx.Client, tag: str, name: str = "a.nrrd", content: bytes = b"") -> httpx.Response:
    files = {"label": (name, content or nrrd())}
    return client.put("/datastore/label", params={"image": "scan", "tag": tag}, files=files)


def test_labels_written_outside_the_store(two: Two) -> None:
    assert save(two.plain, "../../outside").status_code == 200
    assert list(two.folder.glob("outside/*"))  # beside the studies folder
    for tag in ("../../ours", "/tmp/ours", "a/../../ours", "..", "%2e%2e/ours"):
        assert save(two.ours, tag).status_code == 400
    assert not list(two.folder.glob("ours*")) and not list((two.folder / "studies").rglob("ours*"))
    assert save(two.ours, "final").status_code == 200


def test_code_as_an_image(two: Two) -> None:
    files = {"file": ("main.py", b"import os")}
    assert two.plain.put("/datastore/image", params={"image": "plain"}, files=files).status_code == 200
    assert list((two.folder / "studies").glob("plain.py"))
    assert two.ours.put("/datastore/image", params={"image": "ours"}, files=files).status_code == 400
    assert two.ours.put("/datastore/", params={"image": "ours"}, files=files).status_code == 400
    renamed = {"file": ("main.nrrd", b"import os")}
    assert two.ours.put("/datastore/image", params={"image": "ours"}, files=renamed).status_code == 422
    assert not list((two.folder / "studies").glob("ours*"))
    for image in ("../ours", "/tmp/ours", "a/b"):
        answer = two.ours.put("/datastore/image", params={"image": image}, files={"file": ("a.nrrd", nrrd())})
        assert answer.status_code == 400


def test_any_web_page_may_ask(two: Two) -> None:
    origin = {"Origin": "https://evil.example", "Cookie": "a=b"}
    answer = two.plain.get("/info/", headers=origin)
    assert answer.headers["access-control-allow-credentials"] == "true"
    ours = two.ours.get("/info/", headers=origin)
    assert ours.status_code == 403 and "access-control-allow-origin" not in ours.headers
    preflight = {**origin, "Access-Control-Request-Method": "PUT"}
    assert two.ours.options("/datastore/label", headers=preflight).status_code in (403, 405)


CLOSED = [
    ("POST", "/reload"),
    ("PUT", "/model/echo"),
    ("DELETE", "/model/echo"),
    ("GET", "/model/echo"),
    ("GET", "/datastore/dataset"),
    ("GET", "/logs/"),
    ("GET", "/logs/gpu"),
    ("GET", "/proxy/dicom/wado/studies"),
    ("POST", "/train/echo"),
    ("POST", "/batch/infer/echo"),
]


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_dangerous_endpoints(two: Two, method: str, path: str) -> None:
    assert two.ours.request(method, path).status_code == 403


def test_dangerous_endpoints_are_open_in_plain(two: Two) -> None:
    assert two.plain.post("/reload").status_code == 200
    assert two.plain.put("/model/echo", files={"file": ("a.pt", b"pickle")}).status_code != 403
    assert two.plain.get("/datastore/dataset").status_code == 200


@pytest.mark.parametrize("session", ["../../secret.txt", "...", "/etc", "a/b", "x" * 300])
def test_sessions_as_paths(two: Two, session: str) -> None:
    assert infer(two.ours, "scan", session_id=session).status_code == 400
    assert two.ours.get(f"/session/{session}").status_code in (400, 404)
    assert two.ours.delete(f"/session/{session}").status_code in (400, 404)


def test_a_session_outside_the_store_is_read_and_deleted_by_plain(two: Two) -> None:
    outside = two.folder / "outside-session"
    outside.mkdir()
    secret = two.folder / "secret.txt"
    (outside / "meta.info").write_text(json.dumps({"image": str(secret), "expiry": 10}))
    reached = infer(two.plain, "", session_id="../../outside-session")
    assert reached.json()["head"] == SECRET[:20]
    assert infer(two.ours, "", session_id="../../outside-session").status_code == 400


@pytest.mark.parametrize("params", ["{", "[]", '"x"', "NaN", '{"a": NaN}', "[" * 100_000, '{"a":' * 5000, "\x00"])
def test_broken_params(two: Two, params: str) -> None:
    answer = two.ours.post("/infer/echo?image=scan", data={"params": params})
    assert answer.status_code == 400 and "detail" in answer.json()


def test_broken_questions_are_a_bare_500_in_plain(two: Two) -> None:
    assert two.plain.post("/infer/echo?image=scan", data={"params": "{"}).status_code == 500
    assert infer(two.plain, "scan", model="nothing").status_code == 500
    assert infer(two.ours, "scan", model="nothing").status_code == 404


def test_patient_data_in_logs(two: Two) -> None:
    infer(two.plain, "scan", {"text": "Mr Plain Doe, nodule"})
    infer(two.ours, "scan", {"text": "Mr Ours Doe, nodule"})
    infer(two.ours, "Ours Doe 1950")
    two.ours.get("/datastore/image/info", params={"image": "Ours Doe 1950"})
    log = two.log()
    assert "Plain Doe" in log and "Ours Doe" not in log
    kept = "".join(p.read_text("latin-1") for p in (two.folder / "s").rglob("*") if p.is_file())
    assert "Ours Doe" not in kept


def test_nothing_waits_for_an_inference(two: Two) -> None:
    def look(client: httpx.Client) -> tuple[bool, float]:
        """Whether the inference still ran when /info/ was answered, and the seconds that took."""
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(infer, client, "scan", {"seconds": 6.0}, "sleep")
            time.sleep(1.0)
            began = time.monotonic()
            client.get("/info/")
            seen = not running.done(), time.monotonic() - began
            assert running.result().status_code == 200
            return seen

    assert look(two.ours)[0]
    assert look(two.plain)[1] > 1.0  # all that was left of the six seconds
