"""Streams: events that change served features within a second."""
