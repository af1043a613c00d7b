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


def start(app: object) -> str:
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", timeout_keep_alive=30))  # type: ignore[arg-type]
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

    logging.basicConfig(level=logging.INFO, stream=sys.stderr)  # as MONAI Label's own start does
    plain = start(app)
    ours = []
    for state in states:
        backend = Backend(lambda: (app, app_instance()))
        ours.append(start(create(Settings(studies, state, slots={"sleep": 3, "quick": 4}, rate=1e6), backend)))
        backend.wait(60)
    print(plain, *ours, flush=True)
    sys.stdin.read()  # until whoever started this goes away


if __name__ == "__main__":
    main(sys.argv[1], [Path(state) for state in sys.argv[2:]])
