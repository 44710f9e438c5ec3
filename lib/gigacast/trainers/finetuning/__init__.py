"""Fine-tuning of Chronos models on the series of a corpus."""
