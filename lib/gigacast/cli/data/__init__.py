"""The commands of the group `data`."""
