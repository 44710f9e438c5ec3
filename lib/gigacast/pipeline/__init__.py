"""One use case per file. Joins series, forecast and runtime, which do not know each other.

Imports everything below it (``errors`` to ``runtime``), never ``report``, ``settings`` or ``cli``.
"""
