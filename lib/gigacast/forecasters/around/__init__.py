"""What is done around a model: contexts are changed before it, quantiles after it."""
