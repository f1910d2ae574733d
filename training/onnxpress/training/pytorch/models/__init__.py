"""PyTorch networks, one module per family; each has a factory `build(**settings)`."""
