"""`data bucket`: the rows of each object divided by a hash of their items."""
