"""Chronos-2 models run by a forward pass of our own."""
