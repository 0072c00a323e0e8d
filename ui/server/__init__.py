"""The web server around the page: what a browser or a program sends, and which files it may have.

Imports `ui.shared`, `ui.studio` and `ui.page`. Start with `web_app` (the app, its limits and routes). `other_sites` and
`border` refuse what others send and what no event can take before Gradio sees it; `names` gives visitors theirs,
`job_files` and `input_routes` serve files, `program_api` is for programs.
"""
