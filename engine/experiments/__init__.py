"""What is to be compared, parsed and frozen: model, prompt, seed, size, tracks, pictures; and its forms as text.

Those forms are presets, LightX2V configs, share links, documents in reports and videos, and Python scripts. May
import from the root up to reports. Loads no torch. Start with `experiment`, then `presets`.
"""
