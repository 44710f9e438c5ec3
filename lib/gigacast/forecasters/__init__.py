"""Forecasters: the protocol, Chronos models, seasonal naive and statistical models, batching.

Planning and the command line start without torch, so only the subpackages ``network``, ``lean`` and
``chronos`` need it, and these are loaded when a model is about to run.
"""
