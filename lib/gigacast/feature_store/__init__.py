"""The feature store: definitions of features, their point-in-time values, and their serving."""
