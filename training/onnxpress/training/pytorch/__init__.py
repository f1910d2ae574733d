"""The PyTorch half of training: models and the fit loop. Only this package imports torch."""
