"""Feature caches: skipping parts of a model's evaluations because they would hardly change. An option of a track.

May import from the root up to models. Loads no torch, but for `apply`, `diffusers_caches`, `recording` and
`teacache`. Start with `cache_choice` (the registry) and `which_model` (which model takes which), then `apply`, which
puts one on.
"""
