"""What people look at: progress, tables, a forecast in the terminal or as a picture.

Plain values in, text and pictures out.
"""
