"""Versioned models in the store: registry, active version, transfer, cache."""
