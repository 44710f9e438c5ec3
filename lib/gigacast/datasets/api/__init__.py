"""The public functions of `gigacast.datasets`."""
