"""The model families: framework-free specs, and what each fits and reports around its network."""

from onnxpress.training.families.autoencoder import Autoencoder
from onnxpress.training.families.cnn14 import Cnn14
from onnxpress.training.families.cnn_lstm_attention import CnnLstmAttention
from onnxpress.training.families.cnn_lstm_multihead import CnnLstmMultihead
from onnxpress.training.families.document import Document
from onnxpress.training.families.own import Own
from onnxpress.training.families.spec_cnn import SpecCnn
from onnxpress.training.families.tabular import Tabular

Family = Autoencoder | CnnLstmAttention | Tabular | Document | Cnn14 | SpecCnn | CnnLstmMultihead | Own
"""the union of the families' specs; a recipe's `model.family` chooses one"""

__all__ = [
    "Autoencoder",
    "Cnn14",
    "CnnLstmAttention",
    "CnnLstmMultihead",
    "Document",
    "Family",
    "Own",
    "SpecCnn",
    "Tabular",
]
