"""The picture field: adding, showing and removing a picture that runs start from.

Imports `ui.shared` alone. Start with `picture`; the file itself goes to the server's `/inputs`, never through an event.
"""
