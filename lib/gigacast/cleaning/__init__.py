"""The cleaning job: repeated rows, grids, missing values and outliers, by rules."""
