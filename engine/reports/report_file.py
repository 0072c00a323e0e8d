"""Reading and writing `report.json`: strictly, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from engine import strict_json
from engine.errors import InvalidInput
from engine.measuring.video import whole_file
from engine.reports.earlier_versions import brought_up
from engine.reports.schema import VERSION, Report
from engine.strict_json import Bounds, shown

# A run of 1000 frames has some 8,000 values, and as many again beside its uncached twin. What is within these bounds is
# parsed in a fraction of a second.
BOUNDS = Bounds(8 * 1024 * 1024, 300_000)
MAX_FAULTS = 20  # that are looked at; of more only the number is told


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
    name = Path(path).name[:80]
    try:
        with open(path, "rb") as file:
            data = file.read(BOUNDS.size + 1)
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise InvalidInput("report", f"{name} cannot be read: {reason}.") from error
    if len(data) > BOUNDS.size:
        raise InvalidInput("report", f"{name} is too large for a report; one has at most {BOUNDS.size:,} bytes.")
    try:
        document = strict_json.loads(data, "it", BOUNDS)
    except InvalidInput as error:
        raise InvalidInput("report", f"{name} is not a report: {error}") from None
    version = document.get("version")
    if type(version) is int and not 1 <= version <= VERSION:
        told = f"it has version {shown(version)}, this Resolute reads versions 1 to {VERSION}"
        raise InvalidInput("report", f"{name} is not a report: {told}.")
    try:
        return Report.model_validate_json(brought_up(data, document), strict=True)
    except ValidationError as error:
        raise InvalidInput("report", f"{name} is not a report: {_fault(error)}.") from None


def _fault(error: ValidationError) -> str:
    """The first fault in words; of very many, which would all have to be written out, only how many there are."""
    count = error.error_count()
    if count > MAX_FAULTS:
        return f"it has {count:,} faults"
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"])) or "the file"
    more = f" (and {count - 1} more)" if count > 1 else ""
    return f"{shown(where, 80)}: {shown(first['msg'].rstrip('.'), 300)}{more}"
