"""Options that are no settings: a class for each command or group of commands."""
