"""Frequencies, calendars, months and time zones."""
