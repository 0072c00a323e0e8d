"""The field for a picture or a control video. Its value names one as documents do, or is None.

The bytes go to `/inputs` and stay there: browsers send a file to `ui.server.input_routes`, which reads it once
and answers with its name. So no event carries a file's path.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from ui.shared.widget import Widget


class PictureField(Widget):
    """A field for one picture: `{sha256, width, height}` of one that was added, or None.

    With `film` for one mp4, whose value has `frames` too.
    """

    def __init__(
        self, value: dict[str, Any] | None = None, *, label: str = "Picture", film: bool = False, **options: Any
    ) -> None:
        super().__init__(value, label=label, film=film, **options)

    def preprocess(self, payload: Any) -> dict[str, Any] | None:  # type: ignore[override]
        if payload is None or payload == "":
            return None
        if not isinstance(payload, dict):
            raise gr.Error("The picture is not named as this page names pictures.", print_exception=False)
        return payload  # the experiment parses it

    def postprocess(self, value: Any) -> dict[str, Any] | None:  # type: ignore[override]
        return value if isinstance(value, dict) else None

    def api_info(self) -> dict[str, Any]:
        sides = {"type": "integer"}
        return {"type": "object", "properties": {"sha256": {"type": "string"}, "width": sides, "height": sides}}

    def example_value(self) -> dict[str, Any]:
        return {"sha256": "0" * 64, "width": 832, "height": 480}

    example_payload = example_value
