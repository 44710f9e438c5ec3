"""Training jobs: series from a bucket, fine-tuning, scores, publication."""
