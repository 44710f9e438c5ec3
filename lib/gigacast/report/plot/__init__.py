"""Pictures of forecasts, for files and for the terminal."""
