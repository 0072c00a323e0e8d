"""Hierarchical patch diffusion (HPDM, CVPR 2024, arXiv 2406.07792): an independent implementation. See docs/hpdm.md.

The network, its noise, tiled sampling level by level, and FLOPs. May import from the root up to switching; needs no
switching, as such a model has no switch. What the page needs loads no torch: `hpdm_config`, `level_choice`,
`patch_flops`, `prompt_words`, `sampling_request`, `tiles`; the rest does. Start with `pyramid_run`, then
`tile_sampler`; the network is `hpdm_model`.
"""
