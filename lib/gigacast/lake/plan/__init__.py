"""Planning and proof: listings, plans, receipts, manifests of outputs, audits."""
