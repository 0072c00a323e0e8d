"""What a schedule costs: exact FLOPs, and seconds and bytes predicted from what this machine has shown.

May import from the root up to experiments. Loads no torch, but for `cached_flops`, `flops_count` and
`forward_inputs`, which look at networks. Start with `prediction`; `flops_formula` and `flops_count` give the same
FLOPs in two ways.
"""
