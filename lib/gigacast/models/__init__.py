"""Models: publish, download, compare, switch."""
