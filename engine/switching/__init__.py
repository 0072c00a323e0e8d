"""What happens when the resolution changes: policies, sigma tables, noise, and what is handed from stage to stage.

May import from the root up to measuring. Loads torch, but for `policies`, which the page reads. Tensors are (B, C, T,
h, w) of a rectified flow; how other schedulers' states read as one says `noise_process`. Start with `switches`, where
every policy is one function, then `handover`. The mathematics is in docs/theory.md.
"""
