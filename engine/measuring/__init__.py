"""What is measured of a run: its time and memory, and how like its frames are to the baseline's; and videos as files.

May import from the root and schedules; needs the root alone. Loads no torch, but for `device` and `meter`, and
`similarity` when it comes to LPIPS. Start with `meter` for time and memory, `similarity` for the metrics.
"""
