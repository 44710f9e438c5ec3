"""The feature store in tests: lakes, definitions, oracles, vectors."""
