"""Resolute's engine: resolution schedules, switching, running and measuring. It never imports Gradio."""
