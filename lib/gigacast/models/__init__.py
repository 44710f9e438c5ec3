"""Models: publish, download, compare and switch versions."""
