"""The streaming reader, which turns columns of rows into series.

Start at `gigacast.series.reader.read_series`; its arguments are in `gigacast.series.source`.
"""
