"""What forecasters with a neural network share: devices, transfers, long horizons."""
