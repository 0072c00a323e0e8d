"""Hierarchical patch diffusion (HPDM, CVPR 2024, arXiv 2406.07792): an independent implementation. See docs/hpdm.md."""
