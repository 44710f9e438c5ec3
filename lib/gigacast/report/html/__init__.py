"""Documents as pages: one HTML file without scripts and without external resources."""
