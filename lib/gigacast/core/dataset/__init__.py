"""Names, versions, partitioning and filters of datasets."""
