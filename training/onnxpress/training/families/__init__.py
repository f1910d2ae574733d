"""The model families: framework-free specs, and what each fits and reports around its network."""

from onnxpress.training.families.autoencoder import Autoencoder

Family = Autoencoder
"""the union of the families' specs; a recipe's `model.family` chooses one"""

__all__ = ["Autoencoder", "Family"]
