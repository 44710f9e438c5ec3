"""Object stores: bytes by key on S3, in a local folder or in memory."""
