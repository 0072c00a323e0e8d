"""Running a comparison: the baseline and every track one after another, measured, written, reported.

May import from the root up to costs. Loads torch, but for what the queue needs of it (`baseline_store`). Start with
`runner`, what a comparison asks of one kind of model; `pipeline_runner` and `level_runner` are the two kinds that
there are, `comparison` has the order of runs.
"""
