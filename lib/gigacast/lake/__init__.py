"""What keys mean: the key layout, discovery, the plan, receipts, audit, manifest, models."""
