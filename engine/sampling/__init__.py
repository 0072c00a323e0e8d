"""Driving a model along a schedule: a diffusers pipeline, its loop untouched, or a bare velocity function.

May import from the root up to caches. Loads torch. Start with `bare_loop`: the whole method in one short loop. Then
`pipeline_run`, which does the same with a pipeline, one ordinary call a stage.
"""
