"""Pre-training of a Chronos-Bolt model on synthetic series."""
