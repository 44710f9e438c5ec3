"""Values and pure functions, without I/O, clock or environment."""
