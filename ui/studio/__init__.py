"""The studio view: fields and board of an experiment, its runs, and what comes of them.

Imports `ui.shared`, widgets and itself. Start with `studio_view` (the components) and `wiring` (every event and its
handler). Handlers are methods: `desk` reads fields and board, `edit_events` change them, `run_events` open, run and
follow jobs. What is shown: `job_display` and `charts` of a job, `forecast` before it; `exports` are files to save.
"""
