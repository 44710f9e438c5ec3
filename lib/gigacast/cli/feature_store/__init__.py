"""The commands of the group `feature-store`."""
