"""Columns to series: the streaming reader. Imports ``errors`` and ``core``.

Start at `gigacast.series.reader.read_series`; what it takes is in `gigacast.series.source`.
"""
