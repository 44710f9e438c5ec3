"""Former module paths, kept for one release: use `gigacast.synthetic` and `gigacast.trainers`."""
