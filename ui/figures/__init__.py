"""The figures of a comparison: a table of all runs, and a plot of their time against their similarity.

Imports `ui.shared` alone. Start with `figures_value` (every cell and point, and why one is unknown), then `figures.js`;
`table.js` and `pareto.js` draw, `names.js` finds places for the names in the plot.
"""
