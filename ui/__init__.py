"""The studio: the page that people meet. Nothing here imports torch; `engine` does the work in a process of its own."""
