"""The quality job: measure partitions and judge them by thresholds."""
