"""The studio: the page that people meet. Nothing here imports torch; the work is done by `engine` in a process of its own."""
