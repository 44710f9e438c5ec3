"""Prices of machines, bills of runs, and the division of work over machines."""
