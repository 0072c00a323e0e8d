"""Models that can follow a schedule: the catalogue, families of pipelines, loading, and what a model takes of a card.

May import from the root up to hpdm. Loads no torch, but for `acceleration`, `hpdm_pipe`, `latent_space`,
`load_errors`, `loading`, `lora`, `precision` and `preview`. Start with `families` (which pipelines, and why not
others), `catalogue` (which models) and `loading`.
"""
