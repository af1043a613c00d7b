"""The text around a query and a document, exactly as Qwen3-VL-Reranker was trained on it.

Source: the model's published chat template and usage (Qwen3-VL-Embedding and Qwen3-VL-Reranker technical
report, 2026). There is no newline before ``<Query>:``.
"""

from __future__ import annotations

SYSTEM = (
    "Judge whether the Document meets the requirements based on the Query and the Instruct provided. "
    'Note that the answer can only be "yes" or "no".'
)

INSTRUCTIONS: dict[str, str] = {
    "default": "Given a search query, retrieve relevant candidates that answer the query.",
    "radiology": (
        "Given a sentence of a radiology report, retrieve the slices of the scan that show the finding it describes."
    ),
    "pathology": "Given a pathology description, retrieve the tissue tiles that show the described feature.",
    "ultrasound": "Given an ultrasound report, retrieve the frames or clips that show the described finding or motion.",
    "endoscopy": "Given an endoscopy report, retrieve the frames that show the described lesion or landmark.",
    "statement": "Given a statement of a medical report, judge whether the image shows what the statement says.",
}
"""Instructions by name. Only "default" is the published one; the others are written for the task, as the
model's authors advise (in English whatever the query's language)."""

_INSTRUCTION_FOR = {"US": "ultrasound", "IVUS": "ultrasound", "ES": "endoscopy", "SM": "pathology", "GM": "pathology"}
"""By DICOM modality; "radiology" for all others."""

VISION_START, VISION_END = "<|vision_start|>", "<|vision_end|>"
IMAGE_PAD, VIDEO_PAD = "<|image_pad|>", "<|video_pad|>"

MAX_LENGTH = 10240
"""Longest prompt in tokens, as published."""


def instruction(name_or_text: str) -> str:
    """The preset of that name, else the text itself (a free instruction)."""
    return INSTRUCTIONS.get(name_or_text, plain(name_or_text))


def instruction_for(modality: str) -> str:
    """The preset for slices of a DICOM modality."""
    return _INSTRUCTION_FOR.get(modality, "radiology")


def plain(text: str) -> str:
    """User text in which nothing can act as one of the model's control tokens (``<|im_end|>`` ...)."""
    return text.replace("<|", "< |")


def prefix(instruct: str, query: str) -> str:
    """Everything before the document."""
    return (
        f"<|im_start|>system\n{SYSTEM}<|im_end|>\n"
        f"<|im_start|>user\n<Instruct>: {instruct}<Query>:{plain(query)}\n<Document>:"
    )


SUFFIX = "<|im_end|>\n<|im_start|>assistant\n"
"""Everything after the document."""
