"""Results as people read them: documents, their renderers, progress, and figures.

Plain values in, text and pictures out.
"""
