"""What the audit log keeps of a job, read from its answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monailabel_app.gateway.audit import AuditLog
from monailabel_app.gateway.jobs import Job


def record_job(audit: AuditLog, job: Job) -> None:
    """One entry for a finished job: who, what kind of question, about which study, how it went."""
    params = job.result.params if job.result is not None else {}
    volume = params.get("volume")
    volume = volume if isinstance(volume, Mapping) else {}
    audit.record(
        "job",
        who=job.user,
        job=job.id,
        model=job.model,
        engine=job.engine,
        study=volume.get("study_uid"),
        series=volume.get("series_uid"),
        report_hash=audit.report_hash(job.text) if job.text else None,
        slices=_slices(params),
        mean_score=_mean_score(params),
        latency_ms=round(((job.finished or job.created) - job.created) * 1000),
        status=job.state.value,
    )


def _slices(params: Mapping[str, Any]) -> int | None:
    """How many slices the answer names: those ranked, or those of the volume."""
    if isinstance(params.get("slices"), list):
        return len(params["slices"])
    volume = params.get("volume")
    shape = volume.get("shape_kji") if isinstance(volume, Mapping) else None
    return int(shape[0]) if isinstance(shape, list) and shape else None


def _mean_score(params: Mapping[str, Any]) -> float | None:
    """The mean of the answer's scores: of slices, segments or verdicts."""
    for key, name in (("slices", "score"), ("segments", "score"), ("verdicts", "confidence")):
        items = params.get(key)
        if isinstance(items, list):
            scores = [item[name] for item in items if isinstance(item, Mapping) and isinstance(item.get(name), float)]
            return round(sum(scores) / len(scores), 4) if scores else None
    return None
