"""Forecasters: the protocol, Chronos (alone imports torch and chronos), seasonal naive, batching.

Imports ``errors`` and ``core`` only. Importing this package does not import torch.
"""
