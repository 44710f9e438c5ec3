"""Partitions: the names of objects, the tasks made of them, and the spec of a task."""
