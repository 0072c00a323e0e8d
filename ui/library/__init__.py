"""The library view: all that has been run, to find, keep, compare again, hand on and throw away.

Imports `ui.shared`, widgets and itself; what it asks of the studio is `library_view.Studio`. Start with `library_view`
(components and events); `library_requests` parses what a browser asks, `library_value` is what the list shows.
"""
