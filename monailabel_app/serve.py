"""Start the server: the gateway at once, MONAI Label behind it as soon as it is loaded."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

from monailabel_app.gateway.settings import Settings, default_state
from radfind.errors import InputError, RadFindError

APP_FOLDER = Path(__file__).resolve().parent
logger = logging.getLogger(__name__)


def load_monailabel(settings: Settings) -> tuple[Any, Any]:
    """MONAI Label's ASGI application and our app in it, over `settings.studies`. Takes half a minute."""
    # MONAI Label reads its settings when it is imported.
    os.environ["MONAI_LABEL_APP_DIR"] = str(APP_FOLDER)
    os.environ["MONAI_LABEL_STUDIES"] = settings.studies
    os.environ["MONAI_LABEL_SESSION_PATH"] = str(settings.state / "sessions")
    os.environ["MONAI_LABEL_AUTH_ENABLE"] = "false"  # the gateway knows who asks
    os.environ.setdefault("MONAI_LABEL_TRACKING_ENABLED", "false")
    from monailabel.app import app
    from monailabel.interfaces.utils.app import app_instance

    instance = app_instance()
    instance.server_mode(True)
    instance.on_init_complete()
    return app, instance


def checked_studies(studies: str) -> str:
    """An existing folder, absolute, or a DICOMweb URL.

    Raises:
        InputError: the folder does not exist.
    """
    if studies.startswith(("http://", "https://")):
        return studies
    folder = Path(studies)
    if not folder.is_dir():
        raise InputError(f"The studies folder {studies} does not exist. Give a folder of scans, or a DICOMweb URL.")
    return str(folder.resolve())


def serve(
    studies: str, *, host: str = "127.0.0.1", port: int = 8000, state: Path | None = None, **options: Any
) -> None:
    """Serve until interrupted.

    Arguments:
        options: further fields of `Settings`.

    Raises:
        InputError: the settings are unusable or would expose the server.
        RadFindError: MONAI Label could not be loaded.
    """
    import uvicorn

    from monailabel_app.gateway.app import create
    from monailabel_app.gateway.backend import Backend

    studies = checked_studies(studies)
    settings = Settings(studies, state or default_state(studies), host, port, **options)
    settings.check_exposure(login=False)
    failures: list[BaseException] = []

    def stop(error: BaseException) -> None:
        failures.append(error)
        server.should_exit = True

    app = create(settings, Backend(lambda: load_monailabel(settings), stop))
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        server_header=False,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=10,
    )
    server = uvicorn.Server(config)
    scheme = "https" if settings.tls_certificate else "http"
    print(f"RadFind is loading; it will answer at {scheme}://{host}:{port}", file=sys.stdout, flush=True)
    server.run()
    if failures:
        raise (
            failures[0]
            if isinstance(failures[0], RadFindError)
            else RadFindError(f"MONAI Label could not be loaded: {type(failures[0]).__name__}: {failures[0]}")
        )
