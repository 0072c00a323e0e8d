"""Training of the shipped model: data, networks, recipes, judge and evaluation. Never imported by `engine`."""
