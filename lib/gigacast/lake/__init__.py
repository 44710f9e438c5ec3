"""The stored files of the product: keys, plans, receipts, audits, datasets and models."""
