"""Parts shared by forecasters with a neural network: devices, transfers, long horizons."""
