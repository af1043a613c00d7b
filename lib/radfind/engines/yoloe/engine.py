"""YOLOE as an engine: words, boxes, masks or examples in, instances in space out. Worker process only."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from radfind.engines.api import Context
from radfind.engines.slice_images import SlicePictures
from radfind.engines.yoloe.detector import Detection, Detector
from radfind.engines.yoloe.embeddings import ConceptBank, TextEmbeddings, ensemble
from radfind.engines.yoloe.tiling import tiles
from radfind.errors import InputError, NotSupportedError, PromptError
from radfind.language.concepts import Concept
from radfind.language.lexicon import default_lexicon
from radfind.language.normal import is_chinese
from radfind.prompts import BoxPrompt, EverythingPrompt, ExemplarPrompt, MaskPrompt, Prompt, TextPrompt
from radfind.refine.linking import SliceMask, link_slices
from radfind.results import Evidence, Segment, Segmentation
from radfind.volume import Volume

NAME = "yoloe"

THRESHOLD = 0.25
"""Least score of a detection, the library's own default."""

MOST_INSTANCES = 60
"""So many objects are returned, the surest of all classes: each is a mask of the whole volume."""

MOST_EXAMPLES = 5
"""So many slices of an example are shown to the network, those where the mask is largest."""


@dataclasses.dataclass(frozen=True, eq=False)
class Wanted:
    """One class to look for: its vector (d,) and how it was asked for."""

    label: str
    prompt: str
    vector: npt.NDArray[np.float32]
    concept: Concept | None = None


class YoloeEngine:
    """Runs in a worker process (`radfind.engines.host`); loads its weights at the first job.

    Trained on photographs: on scans expect little from words alone before fine-tuning; an example of the
    same kind of scan says more.

    Arguments:
        weights: see `Detector`.
        bank, cache: folders of the concept bank and of the text vectors.
        device: see `Detector`.
        size: longest side in pixels at which a slice (or tile) is seen; by default that of the slice itself, so that
            tiles are enlarged.
        text_encoder: see `TextEmbeddings`.
        windows: CT display presets, one (grey) or three (red, green, blue). The same for examples and for what
            is searched, else a taught concept would not look like itself.
        thresholds: least score by concept id or label, `THRESHOLD` for the others.
        tiling: cut each slice into so many tiles each way, for small objects.
        batch_size: slices (or tiles) at a time; halved when memory runs out.
        vocabulary: file with one word a line for `EverythingPrompt`; by default the lexicon's findings.
    """

    def __init__(
        self,
        weights: Path,
        *,
        bank: Path,
        cache: Path,
        device: str = "cpu",
        size: int | None = None,
        text_encoder: str | None = None,
        windows: tuple[str, ...] = ("lung", "soft_tissue", "bone"),
        thresholds: Mapping[str, float] | None = None,
        tiling: int = 1,
        batch_size: int = 16,
        vocabulary: Path | None = None,
    ) -> None:
        weights = Path(weights)
        self._weights, self._device, self._size = weights, device, size
        self._text = TextEmbeddings(Path(cache), weights.stem, text_encoder, weights.parent)
        self._bank = ConceptBank(Path(bank), weights.stem)
        self._windows = windows
        self._thresholds = dict(thresholds or {})
        self._tiling = tiling
        self._batch = batch_size
        self._vocabulary = Path(vocabulary) if vocabulary is not None else None
        self._detector: Detector | None = None
        self._free: tuple[list[Wanted], object] | None = None  # the vocabulary, and the network it is fused into

    def shrink(self) -> str | None:
        """After an out-of-memory: halve the batch; what to tell the user, or None at the smallest."""
        if self._batch == 1:
            return None
        self._batch //= 2
        return f"ran with batches of {self._batch} slices: memory was not enough for more"

    def segment(self, volume: Volume, prompts: Sequence[Prompt], *, context: Context) -> Segmentation:
        """Instances of everything asked for.

        Text names concepts of the lexicon (all their English wordings together make the class, so that
        synonyms and languages agree), taught concepts, or is taken as it stands. A box or mask on this
        volume is an example of what to find in the rest of it; an `ExemplarPrompt` is one from another scan,
        and is kept under its name for later questions.

        Raises:
            PromptError: a box or mask is empty, or everything is asked for together with something.
            InputError: there is no vocabulary.
            NotSupportedError: a kind of prompt that YOLOE does not take, or only Chinese of which no word is known.
            EngineError: a word has no vector here (see `TextEmbeddings`).
        """
        context.step(0.0, "loading the model")
        if self._detector is None:
            self._detector = Detector(self._weights, device=self._device)
        network: object | None = None
        refused: list[str] = []
        if any(isinstance(prompt, EverythingPrompt) for prompt in prompts):
            if len(prompts) > 1:
                raise PromptError("Everything is asked for alone: leave out the other prompts, or ask twice.")
            if self._free is None:
                named = self._everything()
                self._free = (named, self._detector.prompt_free(np.stack([one.vector for one in named])))
            wanted, network = self._free
        else:
            wanted, refused = self._wanted(volume, prompts)
        pictures = SlicePictures(volume, self._windows)
        found = self._detect(pictures, wanted, network, context)
        context.step(0.95, "linking slices")
        linked = [link_slices(items, volume.geometry.shape, volume.geometry.spacing) for items in found]
        places = [(index, number) for index, ones in enumerate(linked) for number in range(len(ones))]
        kept = sorted(places, key=lambda place: -linked[place[0]][place[1]].score)[:MOST_INSTANCES]
        segments: list[Segment] = []
        for index, (one, instances) in enumerate(zip(wanted, linked, strict=True)):
            segments += [
                Segment(
                    f"{one.label} {number + 1}" if len(instances) > 1 else one.label,
                    instance.mask,
                    one.concept,
                    one.concept.color if one.concept else (230, 180, 60),
                    instance.score,
                    one.prompt,
                    evidence=(_evidence(one, instance.slices, instance.score),),
                )
                for number, instance in enumerate(instances)
                if (index, number) in kept
            ]
        notes = ["YOLOE was trained on photographs; check its masks on scans."]
        if len(places) > len(kept):
            notes.append(f"only the {len(kept)} surest of {len(places)} objects are returned")
        missing = [one.prompt for one, instances in zip(wanted, linked, strict=True) if not instances]
        return Segmentation(
            volume.geometry,
            tuple(segments),
            not_found=tuple(missing) if network is None else (),
            not_supported=tuple(refused),
            engine=NAME,
            notes=tuple(notes),
        )

    def _wanted(self, volume: Volume, prompts: Sequence[Prompt]) -> tuple[list[Wanted], list[str]]:
        """What to look for, and why some of the words are not."""
        wanted: list[Wanted] = []
        refused: list[str] = []
        shown: list[npt.NDArray[np.float32]] = []
        taught: list[str] = []
        for prompt in prompts:
            if isinstance(prompt, TextPrompt):
                found = self._from_text(prompt.text)
                wanted += found
                if not found:
                    refused.append(
                        f"'{prompt.text.strip()}': YOLOE reads English only, and nothing in these words is known here "
                        "that would put them into English; name it otherwise, or show an example"
                    )
            elif isinstance(prompt, (BoxPrompt, MaskPrompt)):
                shown.append(self._from_region(volume, _region(volume, prompt)))
            elif isinstance(prompt, ExemplarPrompt):
                self._bank.add(prompt.name, self._from_region(prompt.volume, prompt.mask))
                taught.append(prompt.name)
            else:
                raise NotSupportedError(
                    f"YOLOE does not take a {type(prompt).__name__}; give text, a box, a mask or an example."
                )
        for name in dict.fromkeys(taught):
            wanted.append(self._from_bank(name, name))
        if shown:
            wanted.append(Wanted("like the example", "the example", ensemble(np.concatenate(shown))))
        if not wanted and refused:
            raise NotSupportedError(f"{'; '.join(refused)}.")
        if not wanted:
            raise PromptError("Nothing to look for: give text, a box, a mask or an example.")
        return wanted, refused

    def _from_bank(self, name: str, prompt: str) -> Wanted:
        vector = self._bank.get(name)
        assert vector is not None
        return Wanted(name, prompt, vector, default_lexicon().lookup(name))

    def _from_text(self, text: str) -> list[Wanted]:
        if self._bank.get(text) is not None:
            return [self._from_bank(text.strip(), text)]
        matches = default_lexicon().find(text)
        if not matches and any(map(is_chinese, text)):
            return []
        if not matches:
            return [Wanted(text.strip(), text, self._class([text.strip()]))]
        spans = {match.concept.id: match for match in reversed(matches)}
        return [
            Wanted(match.concept.english, match.span.text, self._class(wordings(match.concept)), match.concept)
            for match in sorted(spans.values(), key=lambda match: match.span.start)
        ]

    def _class(self, words: Sequence[str]) -> npt.NDArray[np.float32]:
        assert self._detector is not None
        return ensemble(self._detector.text_embeddings(self._text.get(words)))

    def _everything(self) -> list[Wanted]:
        assert self._detector is not None
        if self._vocabulary is not None:
            if not self._vocabulary.is_file():
                raise InputError(f"There is no vocabulary {self._vocabulary}: a file with a word a line is expected.")
            words = [line.strip() for line in self._vocabulary.read_text(encoding="utf-8").splitlines() if line.strip()]
            if not words:
                raise InputError(f"The vocabulary {self._vocabulary} of YOLOE holds no word.")
            vectors = self._detector.text_embeddings(self._text.get(words))
            return [Wanted(word, word, vector) for word, vector in zip(words, vectors, strict=True)]
        concepts = [concept for concept in default_lexicon() if concept.kind == "finding"]
        vectors = self._detector.text_embeddings(self._text.get([concept.english for concept in concepts]))
        return [
            Wanted(concept.english, concept.english, vector, concept)
            for concept, vector in zip(concepts, vectors, strict=True)
        ]

    def _from_region(self, volume: Volume, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
        """(n, d) vectors of the slices that show most of a mask."""
        assert self._detector is not None
        areas = mask.sum(axis=(1, 2))
        if not areas.any():
            raise PromptError("The example's mask is empty: mark at least one voxel of what to find.")
        pictures = SlicePictures(volume, self._windows)
        _, rows, columns = volume.geometry.shape
        cuts = tiles(rows, columns, self._tiling)
        vectors = []
        for k in np.argsort(-areas, kind="stable")[:MOST_EXAMPLES].tolist():
            if areas[k]:
                # The tile that holds most of it, so that an example is seen as large as what is searched for.
                cut = max(cuts, key=lambda cut, k=k: int(mask[k][cut].sum()))  # type: ignore[misc]
                below, across = (np.flatnonzero(mask[k][cut].any(axis=axis)) for axis in (1, 0))
                # A mask is shown as its box: what the published networks were trained on.
                box = np.array([[across[0], below[0], across[-1] + 1, below[-1] + 1]], np.float32)
                picture = np.ascontiguousarray(pictures.picture(k)[cut])
                vectors.append(self._detector.visual_embeddings(picture, box, self._size or max(rows, columns)))
        return np.concatenate(vectors)

    def _detect(
        self,
        pictures: SlicePictures,
        wanted: Sequence[Wanted],
        network: object | None,
        context: Context,
    ) -> list[list[SliceMask]]:
        """Detections by class."""
        assert self._detector is not None
        detector = self._detector
        limits = [
            self._thresholds.get(one.concept.id if one.concept else "", self._thresholds.get(one.label, THRESHOLD))
            for one in wanted
        ]
        vectors = np.stack([one.vector for one in wanted])
        run: Callable[[list[npt.NDArray[np.uint8]]], list[list[Detection]]]
        _, rows, columns = pictures.volume.geometry.shape
        size = self._size or max(rows, columns)
        if network is None:
            run = lambda images: detector.detect(images, vectors, min(limits), size)  # noqa: E731
        else:
            run = lambda images: detector.detect_all(network, images, min(limits), size)  # noqa: E731
        cuts = tiles(rows, columns, self._tiling)
        jobs = [(k, cut) for k in range(len(pictures)) for cut in cuts]
        found: list[list[SliceMask]] = [[] for _ in wanted]
        for start in range(0, len(jobs), self._batch):
            context.step(0.05 + 0.9 * start / len(jobs), f"slice {jobs[start][0]} of {len(pictures)}")
            group = jobs[start : start + self._batch]
            images = [np.ascontiguousarray(pictures.picture(k)[cut]) for k, cut in group]
            for (k, cut), detections in zip(group, run(images), strict=True):
                for one in detections:
                    if one.score >= limits[one.index]:
                        corner = (cut[0].start, cut[1].start)
                        found[one.index].append(SliceMask(k, one.mask, one.score, corner))
        return found


def wordings(concept: Concept) -> list[str]:
    """Every English wording of a concept: what the text encoder can read. Chinese meets it through the concept."""
    return list(dict.fromkeys(term for term in (concept.english, *concept.terms) if term.isascii()))


def _region(volume: Volume, prompt: BoxPrompt | MaskPrompt) -> npt.NDArray[np.bool_]:
    if isinstance(prompt, MaskPrompt):
        return prompt.mask
    mask = np.zeros(volume.geometry.shape, bool)
    low, high = (np.rint(corner).astype(int) for corner in (prompt.start, prompt.stop))
    mask[tuple(slice(max(0, a), b + 1) for a, b in zip(low, high, strict=True))] = True
    return mask


def _evidence(one: Wanted, slices: tuple[int, ...], score: float) -> Evidence:
    return Evidence(
        f"{one.label}: seen on {len(slices)} slice{'s' if len(slices) > 1 else ''}, best score {score:.2f}.",
        concept=one.concept,
        slices=(slices[0], slices[-1]),
        values={"score": score, "slices": float(len(slices))},
    )
