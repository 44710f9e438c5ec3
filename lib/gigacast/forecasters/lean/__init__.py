"""Chronos-Bolt models run by a forward pass of our own."""
