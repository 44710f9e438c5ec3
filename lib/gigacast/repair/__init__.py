"""Vectorised kernels that judge and mend columns: missing values, outliers, narrow types."""
