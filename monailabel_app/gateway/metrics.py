"""Counters and timings in Prometheus' form."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from monailabel_app.gateway.jobs import Job

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """One server's numbers. Labels are route names, engines and states: never ids of images or users.

    Arguments:
        lanes: `Scheduler.lanes`.
    """

    def __init__(self, lanes: Callable[[], list[dict[str, Any]]]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "radfind_requests", "Requests answered", ["method", "route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "radfind_request_seconds", "Time to the end of the answer", ["route"], buckets=_SECONDS,
            registry=self._registry,
        )  # fmt: skip
        self._jobs = Counter("radfind_jobs", "Jobs that ended", ["model", "engine", "state"], registry=self._registry)
        self._job_seconds = Histogram(
            "radfind_job_seconds", "Time a job ran", ["model", "engine"], buckets=_SECONDS, registry=self._registry
        )
        self._wait_seconds = Histogram(
            "radfind_job_wait_seconds", "Time a job waited", ["engine"], buckets=_SECONDS, registry=self._registry
        )
        self._registry.register(_Lanes(lanes))
        ProcessCollector(registry=self._registry)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def job(self, job: Job) -> None:
        self._jobs.labels(job.model, job.engine, job.state.value).inc()
        if job.started is not None and job.finished is not None:
            self._job_seconds.labels(job.model, job.engine).observe(job.finished - job.started)
            self._wait_seconds.labels(job.engine).observe(job.started - job.created)

    def text(self) -> bytes:
        return generate_latest(self._registry)


class _Lanes(Collector):
    def __init__(self, lanes: Callable[[], list[dict[str, Any]]]) -> None:
        self._lanes = lanes

    def collect(self) -> Iterable[GaugeMetricFamily]:
        for key in ("places", "running", "waiting"):
            family = GaugeMetricFamily(f"radfind_lane_{key}", f"Jobs or places of an engine: {key}", labels=["lane"])
            for lane in self._lanes():
                family.add_metric([lane["name"]], lane[key])
            yield family
