"""The list of all jobs as a Gradio component."""

from __future__ import annotations

from typing import Any

from ui.shared.widget import Widget


class LibraryList(Widget):
    """All jobs as cards with pictures, figures and what can be done with them. The value is `library_value`'s.

    `.input` brings what `library_requests.parse_change` reads, `.select` what `parse_leave` reads. Another `revision`
    makes the widget ask for what it shows; another `address` puts that query into the address of the page; another
    `refusal` is said. The last two are lists of a text and whatever makes them another.
    """

    scripts = ("parts.js", "card.js")

    def __init__(
        self,
        value: dict[str, Any] | None = None,
        *,
        revision: str | None = None,
        address: list[str] | None = None,
        refusal: list[str] | None = None,
        **options: Any,
    ) -> None:
        self.revision, self.address, self.refusal = revision, address, refusal
        super().__init__(value, revision=revision, address=address, refusal=refusal, **options)

    def preprocess(self, payload: object) -> None:
        """Nothing: a browser has no say in what the library holds."""
        return None

    def api_info(self) -> dict[str, Any]:
        return {"type": "object", "description": "The jobs of the library."}
