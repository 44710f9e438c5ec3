"""Plans of what is left to do: listings, receipts, manifests of outputs, audits."""
