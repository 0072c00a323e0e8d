"""Runs that survive: a durable queue in SQLite, a worker process that owns the device, the library of results.

May import from the root up to comparing. Loads no torch, but for `model_runner`, which the worker alone imports.
Start with `service`, all that the page knows of it; then `queue` (each change of state is one transaction) and
`worker`. How it behaves is told in docs/jobs.md and docs/faults.md.
"""
