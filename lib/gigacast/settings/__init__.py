"""Settings: the model of all options, where they are loaded from, jobs made of them."""
