"""Plain MONAI Label and the gateway over the same trivial app, each on a port of its own, for comparing them.

Run as ``python two_servers.py STUDIES STATE [STATE ...]``; prints the addresses: plain MONAI Label's, then that of a
gateway for each state folder. Everything is logged to stderr as it would be.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import uvicorn

APP = Path(__file__).parent / "plain_app"


def start(server: uvicorn.Server) -> str:
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.05)
    return f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"


def main(studies: str, states: list[Path]) -> None:
    os.environ["MONAI_LABEL_APP_DIR"] = str(APP)
    os.environ["MONAI_LABEL_STUDIES"] = studies
    os.environ["MONAI_LABEL_SESSION_PATH"] = str(states[0] / "sessions")
    os.environ["MONAI_LABEL_TRACKING_ENABLED"] = "false"
    os.environ["MONAI_LABEL_DATASTORE_AUTO_RELOAD"] = "false"
    import logging

    from monailabel.app import app
    from monailabel.interfaces.utils.app import app_instance

    from monailabel_app.gateway.app import create
    from monailabel_app.gateway.backend import Backend
    from monailabel_app.gateway.settings import Settings
    from monailabel_app.serve import http_server, settle

    logging.basicConfig(level=logging.INFO, stream=sys.stderr)  # as MONAI Label's own start does
    options = {"host": "127.0.0.1", "port": 0, "log_level": "warning", "timeout_keep_alive": 30}
    plain = start(uvicorn.Server(uvicorn.Config(app, **options)))  # type: ignore[arg-type]
    ours = []
    for state in states:
        settings = Settings(studies, state, port=0, slots={"sleep": 3, "quick": 16}, rate=1e6)
        backend = Backend(lambda: (app, app_instance()))
        ours.append(start(http_server(create(settings, backend), settings)))
        backend.wait(60)
    settle()
    print(plain, *ours, flush=True)
    sys.stdin.read()  # until whoever started this goes away


if __name__ == "__main__":
    main(sys.argv[1], [Path(state) for state in sys.argv[2:]])
