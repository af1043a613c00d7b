"""A small page for a browser: is it up, what runs, what waits, which engines, how full is the GPU."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import time
from html import escape
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from monailabel_app.gateway.access import who
from monailabel_app.gateway.backend import Stage
from monailabel_app.gateway.policy import Role
from monailabel_app.gateway.server import Server

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #222;
  background: #fff }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; width: 100% }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #ddd; vertical-align: top }
td:last-child { overflow-wrap: anywhere }
th { font-weight: 600 } h1 { font-size: 1.4rem } h2 { font-size: 1.1rem } .dim { color: #666 }
@media (max-width: 30rem) { body { font-size: 13px; padding: 0 .5rem } th, td { padding-right: .4rem } }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818 } th, td { border-color: #444 }
  .dim { color: #aaa } }
"""

_META = "<meta charset=utf-8><meta name=viewport content=width=device-width><meta http-equiv=refresh content=5>"


async def as_json(request: Request) -> Response:
    """The same as the page, for programs."""
    return JSONResponse(await _status(request))


async def as_page(request: Request) -> Response:
    """The page; it loads itself again every five seconds and holds no script."""
    status = await _status(request)
    jobs = [
        [j["id"][:8], j["model"], j["engine"], j["state"], f"{j['progress']:.0%}", _remark(j)] for j in status["jobs"]
    ]
    lanes = [[lane["name"], lane["running"], lane["places"], lane["waiting"]] for lane in status["lanes"]]
    engines = [[e["name"], e["device"], "ready" if e["available"] else e["reason"]] for e in status["engines"]]
    gpus = [[gpu["name"], f"{gpu['used_mb']} of {gpu['total_mb']} MB", f"{gpu['busy']} %"] for gpu in status["gpus"]]
    body = "".join(
        [
            f"<h1>RadFind is {escape(status['stage'])}</h1>",
            _table("Jobs", ["job", "model", "engine", "state", "done", ""], jobs),
            _table("Queues", ["engine or device", "running", "places", "waiting"], lanes),
            _table("Engines", ["engine", "device", "state"], engines),
            _table("GPUs", ["GPU", "memory", "busy"], gpus),
            "<p class=dim>Research software, not a medical device.</p>",
        ]
    )
    head = f"{_META}<title>RadFind</title><style>{_STYLE}</style>"
    return HTMLResponse(f"<!doctype html><html lang=en><head>{head}</head><body>{body}</body></html>")


def _remark(job: dict[str, Any]) -> str:
    """What a job does, or how it failed: never the sentence, which may quote the question, on a screen others see."""
    return f"answered {job['error']['status']}" if job["error"] else str(job["message"])


def _table(title: str, columns: list[str], rows: list[list[Any]]) -> str:
    if not rows:
        return f"<h2>{title}</h2><p class=dim>none</p>"
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    lines = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<h2>{title}</h2><table><tr>{head}</tr>{lines}</table>"


async def _status(request: Request) -> dict[str, Any]:
    """A caller sees its own jobs; an administrator all."""
    server, caller = Server.of(request), who(request)
    jobs = [job for job in server.board.jobs() if caller.role is Role.ADMIN or job.user == caller.name]
    newest = sorted(jobs, key=lambda job: -job.created)[:50]
    engines, gpus = await asyncio.to_thread(lambda: (_engines(server), _gpus()))
    return {
        "stage": server.backend.stage.value,
        "jobs": [job.to_wire() for job in newest],
        "lanes": server.scheduler.lanes(),
        "engines": engines,
        "gpus": gpus,
    }


def _engines(server: Server) -> list[dict[str, Any]]:
    if server.backend.stage is not Stage.READY:
        return []
    from radfind.engines.registry import infos

    return [
        {"name": e.name, "device": e.device, "available": e.available, "reason": e.unavailable_reason} for e in infos()
    ]


_gpu_seen: tuple[float, list[dict[str, Any]]] = (float("-inf"), [])


def _gpus() -> list[dict[str, Any]]:
    """From ``nvidia-smi``, at most every two seconds; [] without one."""
    global _gpu_seen
    tool = shutil.which("nvidia-smi")
    if tool is None or time.monotonic() - _gpu_seen[0] < 2.0:
        return _gpu_seen[1]
    found: list[dict[str, Any]] = []
    query = [tool, "--query-gpu=name,memory.used,memory.total,utilization.gpu", "--format=csv,noheader,nounits"]
    with contextlib.suppress(OSError, subprocess.SubprocessError, ValueError):
        output = subprocess.run(query, capture_output=True, text=True, timeout=5, check=True).stdout
        for line in output.splitlines():
            name, used, total, busy = (part.strip() for part in line.split(","))
            found.append({"name": name, "used_mb": int(used), "total_mb": int(total), "busy": int(busy)})
    _gpu_seen = (time.monotonic(), found)
    return found
