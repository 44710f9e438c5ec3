"""CSV files: their dialect, named or found, and their columns as Arrow record batches."""
