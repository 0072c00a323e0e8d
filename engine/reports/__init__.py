"""What a comparison leaves for people: `report.json`, checked by its schema, and `index.html`.

May import from the root up to sampling, and needs of these only what loads no torch. Loads no torch. Start with
`schema`; docs/report.md explains every field.
"""
