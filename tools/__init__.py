"""Scripts for the people who work on the code; nothing in the package needs them."""
