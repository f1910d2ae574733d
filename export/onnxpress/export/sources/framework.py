"""Which framework an object is a model of, told without importing any."""

from __future__ import annotations

from onnxpress.export.source import Framework

_TENSORFLOW = {"Function", "PolymorphicFunction", "ConcreteFunction", "AutoTrackable", "Trackable"}


def framework_of(value: object) -> Framework | None:
    """The framework that `value` is a model of, told by its class's ancestry, so that neither has to be imported."""
    for ancestor in type(value).__mro__:
        module = ancestor.__module__
        if ancestor.__name__ == "Module" and module.startswith("torch.nn."):
            return "pytorch"
        if ancestor.__name__ == "ExportedProgram" and module.startswith("torch."):
            return "pytorch"
        if ancestor.__name__ == "Model" and (module.startswith("keras.") or module == "keras"):
            return "tensorflow"
        if module.startswith("tensorflow.python.") and ancestor.__name__ in _TENSORFLOW:
            return "tensorflow"
        if ancestor.__name__ == "BaseEstimator" and module.startswith("sklearn."):
            return "sklearn"
        if ancestor.__name__ == "CatBoost" and module.startswith("catboost."):
            return "sklearn"
        if ancestor.__name__ == "ModelProto" and module.startswith("onnx."):
            return "onnx"
    return None
