"""Versioned datasets in the store: manifests, publication, lineage."""
