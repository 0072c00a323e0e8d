"""A button for uploads that takes uploaded files and no others.

Gradio checks that a path which a browser names was uploaded only for apps that it has launched itself, and `create_app`
mounts ours. Without this, an event could name any file of the server, or an address for the server to fetch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from gradio.exceptions import InvalidPathError
from gradio.utils import get_upload_folder


class Upload(gr.UploadButton):
    """`gr.UploadButton` for one file, given as the path of an uploaded one."""

    is_template = True  # the browser shows Gradio's own button

    def move_resource_to_block_cache(self, url_or_file_path: Any) -> Any:
        """Keep a file as Gradio does, after the check; nothing is copied or fetched before."""
        return super().move_resource_to_block_cache(_uploaded(url_or_file_path))

    async def async_move_resource_to_block_cache(self, url_or_file_path: Any) -> Any:
        """The same, as Gradio's routes call it."""
        return await super().async_move_resource_to_block_cache(_uploaded(url_or_file_path))

    def preprocess(self, payload: Any) -> Any:
        """The path of an uploaded file, or None. Raises InvalidPathError for any other path."""
        if payload is not None:
            _uploaded(payload.path)
        return super().preprocess(payload)


def _uploaded(path: Any) -> Any:
    """The path, where it leads into the folder of uploads."""
    if path is not None and not Path(path).resolve().is_relative_to(Path(get_upload_folder()).resolve()):
        raise InvalidPathError("That file was not uploaded.")
    return path
