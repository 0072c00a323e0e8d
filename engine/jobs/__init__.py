"""Runs that survive: a durable queue, a worker process, a library of results. No torch here except in `running`."""
