"""The names of the subjects, which are known without importing a framework."""

NAMES = (
    "cnn",
    "resnet",
    "depthwise",
    "cnn14",
    "cnn_lstm_attention",
    "tabular",
    "document",
    "autoencoder",
    "mlp",
    "wide_mlp",
    "lstm",
    "minilm",
    "sklearn_logistic",
    "sklearn_forest",
    "sklearn_mlp",
)
