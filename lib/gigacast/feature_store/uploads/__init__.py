"""Uploads: features of a day, written to an online store."""
