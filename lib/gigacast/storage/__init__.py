"""Bytes by key: S3, a local folder, memory. Alone imports the object-store clients.

Imports ``errors`` and ``core`` only.
"""
