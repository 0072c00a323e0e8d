"""The study of closeness: every policy on every schedule against the full-resolution run, and what that settles."""
