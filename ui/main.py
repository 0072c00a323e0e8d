"""Starting the studio: options, the data directory, the worker's supervisor, the web server."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

# A Space's outer server reaches the app from another address; everywhere else only this machine does.
HOST = os.environ.get("GRADIO_SERVER_NAME") or ("0.0.0.0" if os.environ.get("SPACE_ID") else "127.0.0.1")
PUBLIC = bool(os.environ.get("SPACE_ID"))
PORT = int(os.environ.get("GRADIO_SERVER_PORT", "7860"))

Host = Annotated[str, typer.Option(help="Address to listen on; another than 127.0.0.1 lets others in.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")]
Public = Annotated[bool, typer.Option(help="Strangers come: each has what is theirs. The default on a Space.")]
DataDir = Annotated[Path | None, typer.Option(help="Where runs are kept; RESOLUTE_DATA does the same.")]


def serve(
    host: Host = HOST,
    port: Port = PORT,
    data_dir: DataDir = None,
    public: Public = PUBLIC,
) -> None:
    """Start the studio and print its address."""
    import uvicorn

    from engine.errors import ResoluteError
    from engine.jobs.service import Jobs
    from ui.server.addresses import Addresses
    from ui.server.web_app import SERVER, create_app

    try:
        addresses = Addresses.from_environment(host=host)
        jobs = Jobs.open(data_dir, public=public)
    except ResoluteError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    try:
        app = create_app(jobs, addresses)
        print(f"Resolute: http://{host}:{port}", flush=True)
        if jobs.signatures:
            print(f"For the operator alone: http://{host}:{port}/operator/{jobs.signatures.key}", flush=True)
        uvicorn.run(app, host=host, port=port, log_level="warning", timeout_graceful_shutdown=3, **SERVER)
    finally:
        jobs.close()


def main() -> None:
    """Run the command line of `app.py`."""
    typer.run(serve)
