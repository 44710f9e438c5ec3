"""Tables of Iceberg and Delta Lake: read as stores of partitions, written one commit per run."""
