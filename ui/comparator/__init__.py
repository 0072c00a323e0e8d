"""The comparator: any number of runs in lockstep, running and finished alike.

Imports `ui.shared` alone. Start with `comparator_value` (what is shown, and what a person may ask), then
`comparator.js`, which puts the parts together: `chosen.js` (what is looked at), `actions.js` (what a person can do),
`tiles.js`, `timebar.js`, `toolbar.js`. `across_jobs` makes its value of runs of several jobs.
"""
