"""An instance of its own process, to be killed: opens the jobs of a folder, submits what it is told, waits."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from engine.errors import ResoluteError
from engine.jobs.service import Jobs
from tests.jobs.conftest import FAKE, experiment


def main() -> None:
    folder, submissions = Path(sys.argv[1]), json.loads(sys.argv[2])
    try:
        jobs = Jobs(folder, runner=FAKE)
    except ResoluteError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    ids = [jobs.submit(experiment(**fields)) for fields in submissions]
    print(json.dumps({"jobs": ids}), flush=True)
    while True:
        time.sleep(60)


if __name__ == "__main__":
    main()
