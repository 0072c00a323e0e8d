"""The studio: `python app.py`, then open the address that it prints. All the rest is in `ui/` and `engine/`."""

from __future__ import annotations

import os

# Before Gradio is imported: nothing about anybody's use leaves this machine.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("GRADIO_RUN_HISTORY", "False")

from ui.main import main

if __name__ == "__main__":
    main()
