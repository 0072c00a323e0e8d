"""Resolute's engine: resolution schedules, switching, running and measuring. It never imports Gradio."""

__version__ = "0.1.0"
