"""Forecasters: the protocol, Chronos models, seasonal naive, batching.

Importing this package does not import torch.
"""
