"""Training jobs: read series, fine-tune or pretrain a model, score it and publish it."""
