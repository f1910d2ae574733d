"""Which Network stands behind which source."""

from __future__ import annotations

from onnxpress.core.optional import require
from onnxpress.export.network import Network
from onnxpress.export.source import Source


def wrap(source: Source, *, converts: bool = True) -> Network:
    """The source's network behind the seam of its framework. Raises MissingExtra where its converter is absent.

    Without `converts` a module is taken too that can be asked, and has no ONNX form.
    """
    if source.framework == "pytorch":
        require("onnxscript", needed_by="exporting a torch module")
        from onnxpress.export.networks.pytorch.module import TorchNetwork
        from onnxpress.export.networks.pytorch.program import ProgramNetwork, is_program

        return ProgramNetwork(source) if is_program(source.network) else TorchNetwork(source, converts=converts)
    if source.framework == "sklearn":
        require("skl2onnx", needed_by="exporting a scikit-learn estimator")
        from onnxpress.export.networks.sklearn.estimator import SklearnNetwork

        return SklearnNetwork(source)
    if source.framework == "onnx":
        require("onnx", needed_by="publishing an .onnx file")
        from onnxpress.export.network import Layered
        from onnxpress.export.networks.onnx_file import ComparedNetwork, LayeredComparison, OnnxNetwork

        file = OnnxNetwork(source)
        if source.against is None:
            return file
        framework = wrap(source.against)
        if isinstance(framework, Layered):
            return LayeredComparison(file, framework, framework)
        return ComparedNetwork(file, framework)
    require("tf2onnx", needed_by="exporting a Keras or TensorFlow model")
    import keras

    if isinstance(source.network, keras.Model):
        from onnxpress.export.networks.tensorflow.keras_model import KerasNetwork

        return KerasNetwork(source)
    from onnxpress.export.networks.tensorflow.function import FunctionNetwork

    return FunctionNetwork(source)
