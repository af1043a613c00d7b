"""Model weights: where they lie, and how they get there. Nothing is fetched unless asked for.

Weights lie in ``<models>/<name>/<revision>/`` with a ``radfind-manifest.json`` that records source, commit,
licence and the SHA-256 of every file. ``<models>`` is ``$RADFIND_MODELS`` or
``~/.local/share/radfind/models``; a folder copied there by hand works too (without hashes to check).
"""

from __future__ import annotations

import dataclasses
import datetime
import fnmatch
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from radfind.engines.api import Context
from radfind.errors import EngineError, InputError, RadFindError

MANIFEST = "radfind-manifest.json"
UNDER_WAY = ".radfind-pull"
"""A file in a folder whose pull has begun and not ended: what lies there is not all."""


@dataclasses.dataclass(frozen=True)
class Model:
    """Weights RadFind knows how to use.

    Arguments:
        name: what users call them, and the folder's name.
        engine: the engine that loads them.
        licence: SPDX id of the weights.
        repo: Hugging Face repository, or None where no public one is known and a folder must be given.
        files: patterns of the files needed.
        about: one line for the list; for models without a repository, where they are published.
    """

    name: str
    engine: str
    licence: str
    repo: str | None
    files: tuple[str, ...]
    about: str


_OFA_FILES = ("*.safetensors", "*.bin", "*.pt", "*.json", "*.txt", "*.bpe")
_TRANSFORMERS_FILES = ("*.safetensors", "*.json", "*.txt", "*.jinja", "LICENSE*")

MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        Model(
            "qwen3-vl-reranker-2b", "qwen3vl", "Apache-2.0", "Qwen/Qwen3-VL-Reranker-2B", _TRANSFORMERS_FILES,
            "ranks slices by text; 2 billion parameters, 4.3 GB",
        ),
        Model(
            "qwen3-vl-reranker-8b", "qwen3vl", "Apache-2.0", "Qwen/Qwen3-VL-Reranker-8B", _TRANSFORMERS_FILES,
            "ranks slices by text; 8 billion parameters, 17 GB",
        ),
        Model(
            "ofa-snli-ve-large", "ofa", "Apache-2.0", None, _OFA_FILES,
            "yes / no / maybe; published as ModelScope model damo/ofa_visual-entailment_snli-ve_large_en: fetch it "
            "there and give the folder",
        ),
        Model(
            "ofa-snli-ve-base", "ofa", "Apache-2.0", None, _OFA_FILES,
            "yes / no / maybe, the smaller model; published as the fairseq file snli_ve_base_best.pt of OFA-Sys/OFA: "
            "give a folder with it and the vocab.json and merges.txt of an OFA model in the Hugging Face layout",
        ),
        *(
            Model(
                f"yoloe-{size}", "yoloe", "AGPL-3.0", "jameslahm/yoloe", (f"yoloe-{size}-seg.pt", "mobileclip*.ts"),
                "open-vocabulary instance segmentation",
            )
            for size in ("v8s", "v8m", "v8l", "11s", "11m", "11l")
        ),
        *(
            Model(
                f"yoloe-{size}", "yoloe", "AGPL-3.0", None, (f"yoloe-{size}-seg.pt", "mobileclip*.ts"),
                "open-vocabulary instance segmentation; published among the release files of ultralytics/assets: "
                "fetch it there and give the folder",
            )
            for size in ("26s", "26m", "26l")
        ),
    )
}  # fmt: skip


def models_folder() -> Path:
    """Where weights lie: ``$RADFIND_MODELS``, else ``radfind/models`` in the user's data folder."""
    if chosen := os.environ.get("RADFIND_MODELS"):
        return Path(chosen)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "radfind" / "models"


def known(name: str) -> Model:
    """The model of that name.

    Raises:
        InputError: there is none; the message lists them.
    """
    if name not in MODELS:
        raise InputError(f"There is no model called '{name}'. Models: {', '.join(MODELS)}.")
    return MODELS[name]


def find(name: str, revision: str | None = None) -> Path | None:
    """The folder with the weights, or None when they are not here; the newest revision when none is named."""
    known(name)
    base = models_folder() / name
    folders = [base / _safe(revision)] if revision else sorted(base.glob("*"), key=lambda path: -path.stat().st_mtime)
    for folder in folders:
        begun = (folder / UNDER_WAY).exists()
        if folder.is_dir() and not begun and any(path.name != MANIFEST for path in _files(folder)):
            return folder
    return None


def path(name: str, revision: str | None = None) -> Path:
    """The folder with the weights.

    Raises:
        EngineError: they are not here; the message names the folder and the command that gets them.
    """
    folder = find(name, revision)
    if folder is None:
        raise EngineError(missing(name, revision))
    return folder


def missing(name: str, revision: str | None = None) -> str:
    """What to tell a user whose weights are not here."""
    wanted = models_folder() / name / _safe(revision or "main")
    model = known(name)
    get = f"'radfind models pull {name}'" if model.repo else f"'radfind models pull {name} --from FOLDER'"
    where = f"not in {wanted}"
    if (wanted / UNDER_WAY).exists():
        where = f"not all in {wanted}: getting them was broken off, and goes on where it stopped"
    return f"the weights '{name}' are {where}; get them with {get} (nothing is fetched unless you ask)."


@dataclasses.dataclass(frozen=True)
class Listed:
    """One line of ``radfind models list``."""

    model: Model
    folder: Path | None
    size: int
    commit: str | None


def listing() -> list[Listed]:
    """Every known model, and where it lies if it is here (size in bytes)."""
    lines = []
    for model in MODELS.values():
        folder = find(model.name)
        manifest = _manifest(folder) if folder else {}
        size = sum(file.stat().st_size for file in _files(folder)) if folder else 0
        lines.append(Listed(model, folder, size, manifest.get("commit")))
    return lines


def pull(
    name: str,
    *,
    source: Path | None = None,
    revision: str = "main",
    endpoint: str | None = None,
    context: Context | None = None,
) -> Path:
    """Bring weights here, from the model hub or from a folder; the folder they lie in.

    What has already arrived whole is kept, and a broken download goes on where it stopped. Hashes the hub
    states are checked, and those of all files are recorded. The caller shows `Model.licence` before.

    Arguments:
        source: a folder to copy from instead of the hub.
        revision: branch, tag or commit on the hub; the folder's name.
        endpoint: address of a hub mirror in the hospital, instead of the public one.

    Raises:
        InputError: unknown name, or the source lacks the files.
        EngineError: the hub cannot be reached, or a file's hash is wrong.
        CancelledError: cancelled; what has arrived stays for the next try.
    """
    model = known(name)
    context = context or Context()
    target = models_folder() / name / _safe(revision)
    if source is not None:
        expected = _copy(model, source, target, context)
        origin, commit = str(source), None
    elif model.repo is None:
        raise InputError(f"No public repository of '{name}' is known: {model.about} (radfind models pull --from).")
    else:
        commit, expected = _download(model, revision, target, endpoint, context)
        origin = model.repo
    files = {}
    names = sorted(expected)
    for index, relative in enumerate(names):
        context.step(0.9 + 0.1 * index / len(names), f"checking {relative}")
        digest = sha256(target / relative)
        if expected[relative] not in (None, digest):
            (target / relative).unlink()
            raise EngineError(
                f"{relative} of '{name}' arrived damaged: its SHA-256 is {digest}, the source states "
                f"{expected[relative]}. It was removed; pull again."
            )
        files[relative] = {"sha256": digest, "size": (target / relative).stat().st_size}
    manifest = {
        "name": name,
        "source": origin,
        "revision": revision,
        "commit": commit,
        "licence": model.licence,
        "pulled": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "files": files,
    }
    (target / MANIFEST).write_text(json.dumps(manifest, indent=1))
    (target / UNDER_WAY).unlink()
    context.step(1.0, "done")
    return target


def verify(name: str, revision: str | None = None, *, context: Context | None = None) -> list[str]:
    """What is wrong with the weights here, a sentence each; empty when all is as it was pulled.

    Raises:
        EngineError: the weights are not here.
    """
    context = context or Context()
    folder = path(name, revision)
    recorded = _manifest(folder).get("files")
    if recorded is None:
        return [f"{folder} has no {MANIFEST}: it was copied by hand, so there is no hash to check against."]
    problems = []
    for index, (relative, entry) in enumerate(recorded.items()):
        context.step(index / len(recorded), f"checking {relative}")
        file = folder / relative
        if not file.is_file():
            problems.append(f"{relative} is missing.")
        elif file.stat().st_size != entry["size"] or sha256(file) != entry["sha256"]:
            problems.append(f"{relative} is not the file that was pulled.")
    return problems


def sha256(file: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _copy(model: Model, source: Path, target: Path, context: Context) -> dict[str, str | None]:
    if not source.is_dir():
        raise InputError(f"{source} is not a folder; give the folder that holds the files of '{model.name}'.")
    wanted = [file for file in _files(source) if _needed(model, file.relative_to(source).as_posix())]
    if not wanted:
        raise InputError(f"{source} holds none of the files of '{model.name}' ({', '.join(model.files)}).")
    _begin(target)
    expected: dict[str, str | None] = {}
    for index, file in enumerate(wanted):
        relative = file.relative_to(source).as_posix()
        context.step(0.9 * index / len(wanted), f"copying {relative}")
        expected[relative] = sha256(file)
        (target / relative).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target / relative)
    return expected


def _download(
    model: Model, revision: str, target: Path, endpoint: str | None, context: Context
) -> tuple[str | None, dict[str, str | None]]:
    try:
        from huggingface_hub import HfApi, constants, hf_hub_download
    except ImportError as error:
        raise EngineError(
            "Fetching weights needs the package huggingface-hub; it comes with the extras qwen, ofa and yoloe."
        ) from error
    assert model.repo is not None
    # Else the client also reports what runs here, and asks the public hub for a list even where a mirror is named.
    constants.HF_HUB_DISABLE_TELEMETRY = True
    try:
        about = HfApi(endpoint=endpoint).model_info(model.repo, revision=revision, files_metadata=True)
        files = [file for file in about.siblings or [] if _needed(model, file.rfilename)]
        if not files:
            raise InputError(f"{model.repo} at {revision} holds none of the files of '{model.name}'.")
        total = sum(file.size or 0 for file in files) or 1
        done = 0
        _begin(target)
        for file in files:
            context.step(0.9 * done / total, f"fetching {file.rfilename} ({(file.size or 0) / 1e6:.0f} MB)")
            hf_hub_download(
                model.repo, file.rfilename, revision=about.sha or revision, local_dir=target, endpoint=endpoint
            )
            done += file.size or 0
    except RadFindError:
        raise
    except Exception as error:  # the client's errors, and those of the HTTP library under it, share no base
        raise EngineError(
            f"'{model.name}' could not be fetched from {model.repo}: {error}. What has arrived stays; pull again, or "
            "copy the folder from another machine with --from."
        ) from error
    return about.sha, {file.rfilename: file.lfs.sha256 if file.lfs else None for file in files}


def _begin(target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    (target / UNDER_WAY).touch()


def _needed(model: Model, relative: str) -> bool:
    return any(fnmatch.fnmatch(relative, pattern) for pattern in model.files) and relative != MANIFEST


def _files(folder: Path) -> Iterator[Path]:
    """Files of a folder, without hidden ones (the hub client keeps its notes in .cache)."""
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts):
            yield file


def _manifest(folder: Path) -> dict:
    file = folder / MANIFEST
    return json.loads(file.read_text()) if file.is_file() else {}


def _safe(revision: str) -> str:
    if not re.fullmatch(r"[\w][\w.\-]*", revision):
        raise InputError(f"'{revision}' is not a revision: a branch, tag or commit of letters, digits, '.', '_', '-'.")
    return revision
