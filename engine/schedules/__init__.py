"""Resolution schedules: which denoising steps run at which rate, and what latent size a rate gives.

May import from the root alone. Loads no torch. LightX2V's schedule keys are read and written here; the rest of its
configs in `engine.experiments.lightx2v_config`. Start with `schedule`, then `latent_sizes`.
"""
