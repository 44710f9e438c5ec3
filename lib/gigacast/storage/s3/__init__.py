"""S3 buckets as object stores."""
