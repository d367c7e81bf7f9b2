"""What executes models: devices, processes, the optimizer, averaged weights, faster operations."""
