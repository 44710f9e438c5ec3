"""`ParquetDataLoader` and the methods beside it."""
