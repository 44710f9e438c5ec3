"""TimeGPT, a model behind an API: data leave this machine only where it is named."""
