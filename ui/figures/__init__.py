"""The figures of a comparison: a table of all runs, and a plot of their time against their similarity."""
