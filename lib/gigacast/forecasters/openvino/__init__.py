"""Chronos-Bolt as an OpenVINO graph, built from the lean weights; needs the extra ``fast``."""
