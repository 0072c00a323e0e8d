"""Models that can follow a schedule: the catalogue, loading, and what a run of each family needs."""
