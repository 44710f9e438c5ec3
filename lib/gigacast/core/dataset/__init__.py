"""Names, versions, partitioning and predicates of datasets."""
