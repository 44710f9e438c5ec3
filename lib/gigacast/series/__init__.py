"""Columns to series: the streaming reader.

Start at `gigacast.series.reader.read_series`; what it takes is in `gigacast.series.source`.
"""
