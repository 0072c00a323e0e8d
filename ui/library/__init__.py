"""The library view: all that has been run, to find, keep, compare again, hand on and throw away."""
