"""Small wrong changes to the engine, each of which a test must notice."""
