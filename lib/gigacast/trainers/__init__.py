"""Training of forecasters: the corpus on disk, fine-tuning and pretraining."""
