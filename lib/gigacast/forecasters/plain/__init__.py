"""Chronos-Bolt without torch: the lean forward in NumPy, and what every engine on arrays shares."""
