"""Names of partitions, tasks, and the spec of a task."""
