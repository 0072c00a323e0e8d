"""What widgets and views share: the widget's base class, the page's look, how events call handlers, words said alike.

Imports nothing else of `ui`. Start with `widget` (a folder's script and style become a Gradio component); `shared.js`
stands before every widget's script, `playing/` before those of widgets that show videos in step.
"""
