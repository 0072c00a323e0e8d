"""The command line, `python -m engine`: reads options, loads the model, shows progress and tables.

May import from all other packages; none imports it. Loads no torch before a command needs it, but for `terminal`,
which is imported only then. Start with `commands`.
"""
