"""Start MONAI Label with RadFind's app."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from radfind.errors import InputError

APP_FOLDER = Path(__file__).resolve().parent


def application(studies: str) -> Any:
    """MONAI Label's ASGI application over `studies`, with clear errors.

    Raises:
        InputError: the studies folder does not exist.
    """
    if not studies.startswith(("http://", "https://")):
        folder = Path(studies)
        if not folder.is_dir():
            raise InputError(f"The studies folder {studies} does not exist. Give a folder of scans, or a DICOMweb URL.")
        studies = str(folder.resolve())
    # MONAI Label reads its settings when it is imported.
    os.environ["MONAI_LABEL_APP_DIR"] = str(APP_FOLDER)
    os.environ["MONAI_LABEL_STUDIES"] = studies
    os.environ.setdefault("MONAI_LABEL_TRACKING_ENABLED", "false")
    from fastapi import Request
    from fastapi.responses import JSONResponse
    from monailabel.app import app
    from monailabel.interfaces.exception import ImageNotFoundException, LabelNotFoundException, MONAILabelException

    async def bad_input(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, status_code=400)

    async def missing(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, status_code=404)

    async def unusable(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": str(getattr(error, "msg", error))}, status_code=400)

    app.add_exception_handler(InputError, bad_input)
    app.add_exception_handler(ImageNotFoundException, missing)
    app.add_exception_handler(LabelNotFoundException, missing)
    app.add_exception_handler(MONAILabelException, unusable)
    return app


def serve(studies: str, *, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Serve until interrupted."""
    import uvicorn

    print(f"RadFind is loading; it will answer at http://{host}:{port}", flush=True)
    uvicorn.run(application(studies), host=host, port=port, log_level="info", access_log=False)
