"""Reading and writing `report.json`: strictly, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from engine.errors import InvalidInput
from engine.measuring.video import whole_file
from engine.reports.earlier_versions import brought_up
from engine.reports.schema import VERSION, Report

MAX_BYTES = 64 * 1024 * 1024


def schema() -> dict[str, Any]:
    """JSON Schema of `report.json`."""
    return Report.model_json_schema(mode="serialization")


def dumps(report: Report) -> str:
    """The report as indented JSON text. Raises ValueError rather than write NaN or an infinity."""
    return json.dumps(report.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def save(report: Report, path: str | Path) -> None:
    """Write `report.json` as UTF-8, whole or not at all. Raises RunFailed when the disk fails."""
    text = dumps(report)
    with whole_file(Path(path)) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def load(path: str | Path) -> Report:
    """Read a `report.json` strictly. Raises InvalidInput naming the file, the field and the reason.

    One of version 1 is read as one of today, with what is wrong in it null (`earlier_versions`).
    """
    name = Path(path).name
    try:
        if (size := Path(path).stat().st_size) > MAX_BYTES:
            raise InvalidInput("report", f"{name} has {size} bytes; a report has at most {MAX_BYTES}.")
        data = Path(path).read_bytes()
    except OSError as error:
        raise InvalidInput("report", f"{name} cannot be read: {(error.strerror or str(error)).lower()}.") from error
    try:
        return Report.model_validate_json(brought_up(data), strict=True)
    except ValidationError as error:
        raise InvalidInput("report", f"{name} is not a report: {_first_fault(error)}.") from error


def _first_fault(error: ValidationError) -> str:
    faults = error.errors(include_url=False, include_context=False)
    version = next((fault for fault in faults if fault["loc"] == ("version",)), None)
    if version and isinstance(version["input"], int):
        return f"it has version {version['input']}, this Resolute reads versions 1 to {VERSION}"
    where = ".".join(map(str, faults[0]["loc"])) or "the file"
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"{where}: {faults[0]['msg'].rstrip('.')}{more}"
