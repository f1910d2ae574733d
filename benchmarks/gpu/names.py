"""The six models' names; see `models`, which needs PyTorch."""

NAMES = ("tiny", "tabular", "cnn14", "minilm", "resnet", "lstm")
