"""The whole app with the fake runner, over a folder and a port: what the faults kill."""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn

from engine.jobs.service import Jobs
from tests.jobs.conftest import FAKE
from ui.server.web_app import SERVER, create_app


def main() -> None:
    with Jobs(Path(sys.argv[1]), runner=FAKE) as jobs:
        uvicorn.run(create_app(jobs), host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", **SERVER)


if __name__ == "__main__":
    main()
