"""The fit loop, the same for both frameworks, and what it is made of: batches, rates, losses, metrics, checkpoints."""
