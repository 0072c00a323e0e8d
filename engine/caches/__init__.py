"""Feature caches: skipping parts of a model's evaluations because they would hardly change. An option of a track."""
