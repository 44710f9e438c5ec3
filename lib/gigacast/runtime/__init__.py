"""Where tasks run: in this process, over joblib's processes (AWS Batch later).

Imports ``errors`` and ``core`` only: it knows nothing of what a task does.
"""
