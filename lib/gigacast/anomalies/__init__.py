"""Anomalies: values that forecasts did not expect, and sensors that stopped measuring."""
