"""What all stores of buckets share: requests by obstore, conditions, retries, errors."""
