"""Commands that run something: serve, demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    app.command(epilog="Example: radfind serve --studies /data/ct --port 8000")(serve)
    app.command(epilog="Example: radfind demo --dicom ct-folder --report report.txt")(demo)


def serve(
    studies: Annotated[str, typer.Option(help="Folder of scans, or a DICOMweb URL.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one.")] = 8000,
    state: Annotated[
        Path | None, typer.Option(help="Folder for tokens, audit log, jobs and caches; one per studies folder.")
    ] = None,
    tls_certificate: Annotated[Path | None, typer.Option(help="PEM file; with --tls-key serves https.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file.")] = None,
    slots: Annotated[
        list[str] | None, typer.Option(help="Jobs at once on an engine or device, e.g. builtin=2 or cuda:0=1.")
    ] = None,
    host_name: Annotated[list[str] | None, typer.Option(help="A further name clients reach the server by.")] = None,
    cors: Annotated[list[str] | None, typer.Option(help="Origin of a web page that may ask, e.g. OHIF's.")] = None,
    open_doors: Annotated[
        list[str] | None,
        typer.Option("--open", help="Open a closed part: reload, models, dataset, logs, proxy, train or batch."),
    ] = None,
    allow_plain_http: Annotated[
        bool, typer.Option(help="Listen beyond this machine without TLS: something else protects the connection.")
    ] = False,
    allow_anonymous: Annotated[bool, typer.Option(help="Listen beyond this machine without login.")] = False,
    trust_proxy: Annotated[str, typer.Option(help="Addresses of proxies whose X-Forwarded-For counts.")] = "127.0.0.1",
    rate: Annotated[float, typer.Option(min=0.1, help="Requests per second one caller may make.")] = 200.0,
    max_upload_gb: Annotated[float, typer.Option(min=0.001, help="Largest upload, GB.")] = 4.0,
    oidc_issuer: Annotated[str | None, typer.Option(help="URL of an OpenID Connect login service.")] = None,
    oidc_audience: Annotated[str, typer.Option(help="What its tokens for this server carry as aud.")] = "",
    oidc_role_claim: Annotated[str, typer.Option(help="Where its tokens carry roles.")] = "roles",
) -> None:
    """Start the MONAI Label server with RadFind's tasks: on this machine only unless told otherwise."""
    from monailabel_app.gateway.oidc import OidcSettings
    from monailabel_app.gateway.settings import parsed_slots
    from monailabel_app.serve import serve as start

    start(
        studies,
        host=host,
        port=port,
        state=state,
        tls_certificate=tls_certificate,
        tls_key=tls_key,
        slots=parsed_slots(slots or []),
        hosts=tuple(host_name or ()),
        cors=tuple(cors or ()),
        open_doors=frozenset(open_doors or ()),
        allow_plain_http=allow_plain_http,
        allow_anonymous=allow_anonymous,
        trusted_proxies=trust_proxy,
        rate=rate,
        max_body=int(max_upload_gb * 2**30),
        oidc=OidcSettings(oidc_issuer, oidc_audience, oidc_role_claim) if oidc_issuer else None,
    )


def demo(
    dicom: Annotated[Path | None, typer.Option(help="Your own scan instead of the synthetic one.")] = None,
    report: Annotated[Path | None, typer.Option(help="Its report, UTF-8 text. Needed with --dicom.")] = None,
    output: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("demo-output"),
) -> None:
    """Show the whole: a scan and its report in, slices, outlines and verdicts out, through a real server."""
    from radfind.cli.demo import run_demo

    run_demo(dicom, report, output)
