"""The commands of the group `train`."""
