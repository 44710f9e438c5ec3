"""Bytes by key: S3, a local folder, memory."""
