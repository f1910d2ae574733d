"""Reading a model file or folder into the framework's own object: by its ending, never by guessing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onnxpress.core.errors import BadModel, OnnxpressError, UsageError
from onnxpress.core.optional import require

ENDINGS = (".keras", ".h5", ".hdf5", ".pt2", ".pt", ".pth", ".onnx", ".pkl", ".pickle", ".joblib")


def is_model_file(path: Path) -> bool:
    """Whether `load` knows this ending, or a SavedModel folder."""
    return path.suffix.lower() in ENDINGS or is_saved_model(path)


def is_saved_model(path: Path) -> bool:
    """A folder that TensorFlow's `saved_model.save` or Keras's `export` wrote."""
    return (path / "saved_model.pb").is_file()


def load(path: Path, *, trust_pickle: bool) -> Any:
    """The Keras model, SavedModel, ExportedProgram, estimator or ModelProto. Raises BadModel, or UsageError."""
    if not path.exists():
        raise UsageError("no such file", where=str(path))
    ending = path.suffix.lower()
    if ending in (".pkl", ".pickle", ".joblib"):
        _require_trust(trust_pickle, path, "reading a pickle runs whatever code its author put in it")
        return _load_pickle(path)
    if ending == ".pt2":
        _require_trust(trust_pickle, path, "a .pt2 file holds pickles, and reading it can run code of its author's")
    try:
        if is_saved_model(path):
            return _load_saved_model(path)
        if ending == ".pt2":
            require("torch", needed_by="reading a .pt2 file")
            import torch

            return torch.export.load(path)
        if ending in (".pt", ".pth"):
            return _load_torchscript(path)
        if ending == ".onnx":
            return require("onnx", needed_by="reading an .onnx file").load(str(path))
        keras = require("keras", needed_by=f"reading a {ending} file")
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except OnnxpressError:
        raise
    except Exception as error:
        raise BadModel(
            f"it cannot be read: {str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__}",
            where=str(path),
            hint="a model with layers or functions of your own is exported by module:attribute, naming a factory that "
            "builds it and loads its weights",
        ) from error


def _require_trust(trusted: bool, path: Path, why: str) -> None:
    if not trusted:
        raise UsageError(why, where=str(path), hint="add --trust-pickle if you made this file yourself")


def _load_saved_model(path: Path) -> Any:
    tensorflow = require("tensorflow", needed_by="reading a SavedModel")
    from onnxpress.export.sources import file_operators

    file_operators.refuse_in_saved_model(path)
    return tensorflow.saved_model.load(str(path))


def _load_torchscript(path: Path) -> Any:
    require("torch", needed_by=f"reading a {path.suffix} file")
    import torch

    from onnxpress.export.sources import file_operators

    file_operators.refuse_in_torchscript(path)
    try:
        return torch.jit.load(path, map_location="cpu")
    except RuntimeError as error:
        raise BadModel(
            "it is no TorchScript file; a state dict or a pickled module does not hold the model's code",
            where=str(path),
            hint="name a factory that builds the module and loads this file: module:attribute",
        ) from error


def _load_pickle(path: Path) -> Any:
    joblib = require("joblib", needed_by="reading a scikit-learn pickle")
    try:
        return joblib.load(path)
    except Exception as error:
        raise BadModel(f"it cannot be read: {type(error).__name__}: {error}", where=str(path)) from error
