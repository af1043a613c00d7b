"""Start the server: the gateway at once, MONAI Label behind it as soon as it is loaded."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import Any

import uvicorn
from filelock import FileLock, Timeout

from monailabel_app.gateway.http_protocol import GuardedH11
from monailabel_app.gateway.settings import Settings, default_state, make_state
from radfind.errors import InputError, RadFindError

APP_FOLDER = Path(__file__).resolve().parent
MAX_CONNECTIONS = 1000


def load_monailabel(settings: Settings) -> tuple[Any, Any]:
    """MONAI Label's ASGI application and our app in it, over `settings.studies`. Takes half a minute."""
    # MONAI Label reads its settings when it is imported.
    os.environ["MONAI_LABEL_APP_DIR"] = str(APP_FOLDER)
    os.environ["MONAI_LABEL_STUDIES"] = settings.studies
    os.environ["MONAI_LABEL_SESSION_PATH"] = str(settings.state / "sessions")
    os.environ.setdefault("MONAI_LABEL_DICOMWEB_CACHE_PATH", str(settings.state / "archive"))
    os.environ["MONAI_LABEL_AUTH_ENABLE"] = "false"  # the gateway knows who asks
    os.environ.setdefault("MONAI_LABEL_TRACKING_ENABLED", "false")
    os.environ.setdefault("MONAI_LABEL_AUTO_UPDATE_SCORING", "false")  # after each save, in a process of its own
    from monailabel.app import app
    from monailabel.interfaces.utils.app import app_instance

    from monailabel_app.gateway import logs

    instance = app_instance()
    instance.server_mode(True)
    instance.on_init_complete()
    logs.silence()  # importing MONAI Label adds handlers that log requests
    settle()
    return app, instance


def settle() -> None:
    """Take what was loaded out of garbage collection. It is over half a million objects that stay; looking through
    them halts every thread for half a second and more, whenever Python thinks it is time."""
    gc.collect()
    gc.freeze()


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
        state: folder for tokens, audit log, jobs and caches; by default one per studies folder.
        options: further fields of `Settings`.

    Raises:
        InputError: the settings are unusable or would expose the server, or another server uses the state folder.
        RadFindError: MONAI Label could not be loaded.
    """
    from monailabel_app.gateway import logs
    from monailabel_app.gateway.tokens import TokenStore

    studies = checked_studies(studies)
    settings = Settings(studies, state or default_state(studies), host, port, **options)
    make_state(settings.state)
    settings.check_exposure(login=settings.oidc is not None or TokenStore(settings.state).any())
    lock = FileLock(settings.state / "server.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise InputError(
            f"Another server uses the state folder {settings.state}. Stop it, or give this one its own: --state FOLDER."
        ) from None
    try:
        logs.set_up()
        _run(settings)
    finally:
        lock.release()


def http_server(app: Any, settings: Settings) -> uvicorn.Server:
    """The HTTP server for the gateway, as `settings` say."""
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=GuardedH11,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        forwarded_allow_ips=settings.trusted_proxies,
        limit_concurrency=MAX_CONNECTIONS,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=10,
    )
    return uvicorn.Server(config)


def _run(settings: Settings) -> None:
    from monailabel_app.gateway.app import create
    from monailabel_app.gateway.backend import Backend

    # An engine on a thread of this process may hold the interpreter for one interval: answers should not wait for it.
    sys.setswitchinterval(0.001)
    failures: list[BaseException] = []

    def stop(error: BaseException) -> None:
        failures.append(error)
        server.should_exit = True

    server = http_server(create(settings, Backend(lambda: load_monailabel(settings), stop)), settings)
    scheme = "https" if settings.tls_certificate else "http"
    print(f"RadFind is loading; it will answer at {scheme}://{settings.host}:{settings.port}", flush=True)
    server.run()
    if failures:
        error = failures[0]
        raise (
            error
            if isinstance(error, RadFindError)
            else RadFindError(f"MONAI Label could not be loaded: {type(error).__name__}: {error}")
        )
