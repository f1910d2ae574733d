"""TensorFlow Serving's gRPC calls, asked by messages that protobuf makes of the descriptors here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tests.serving.harness import WAIT, Running, running
from tests.serving.onnx_models import identity, model, node, plain
from tests.serving.routes.values import VALUES

from onnxpress.core.arrays import Array
from onnxpress.serving.engine.bfloat16 import to_bits
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.protocol import descriptors
from onnxpress.serving.protocol.tensor_protos import NUMBER_OF
from onnxpress.serving.service import Service

grpc = pytest.importorskip("grpc", reason="needs grpcio")
descriptor_pb2 = pytest.importorskip("google.protobuf.descriptor_pb2", reason="needs protobuf")

FIELDS = {
    "bool": "bool_val", "uint8": "int_val", "uint16": "int_val", "uint32": "uint32_val", "uint64": "uint64_val",
    "int8": "int_val", "int16": "int_val", "int32": "int_val", "int64": "int64_val", "float16": "half_val",
    "bfloat16": "half_val", "float32": "float_val", "float64": "double_val", "string": "string_val",
}  # fmt: skip


class Messages:
    """Message classes by the last part of their name."""

    def __init__(self) -> None:
        from google.protobuf import descriptor_pool, message_factory

        self.pool, self._class = descriptor_pool.DescriptorPool(), message_factory.GetMessageClass
        files = descriptors.Descriptors().files
        needed = {name: descriptor_pb2.FileDescriptorProto.FromString(file) for name, file in files.items()}

        def add(name: str) -> None:
            file = needed.pop(name, None)
            if file is not None:
                for one in file.dependency:
                    add(one)
                self.pool.Add(file)

        for name in files:
            add(name)

    def __getattr__(self, name: str) -> Any:
        package = "tensorflow" if name in ("TensorProto", "Example") else "tensorflow.serving"
        return self._class(self.pool.FindMessageTypeByName(f"{package}.{name}"))


@pytest.fixture(scope="module")
def pb() -> Messages:
    return Messages()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("models")
    for dtype in VALUES:
        plain(folder, dtype, identity(dtype, "batch,3"))
    plain(folder, "scalar", identity("float32", ""))
    pair = ["a:float32[batch,2]", "b:float32[batch,2]"], ["sum:float32[batch,2]", "difference:float32[batch,2]"]
    plain(folder, "pair", model([node("Add", ["a", "b"], ["sum"]), node("Sub", ["a", "b"], ["difference"])], *pair))
    features = [node("Add", ["age", "height"], ["total"])]
    plain(
        folder, "rows", model(features, ["age:float32[batch,1]", "height:float32[batch,1]"], ["total:float32[batch,1]"])
    )
    with running(Service(Repository(folder))) as found:
        yield found


@pytest.fixture
def call(server: Running, pb: Messages) -> Iterator[Any]:
    """Calls a method with its request, and gives the answer."""
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:

        def calling(name: str, request: Any) -> Any:
            service = pb.pool.FindServiceByName(
                f"tensorflow.serving.{'ModelService' if name == 'GetModelStatus' else 'PredictionService'}"
            )
            answer = pb._class(service.methods_by_name[name].output_type)
            path = f"/{service.full_name}/{name}"
            return channel.unary_unary(path, lambda one: one.SerializeToString(), answer.FromString)(
                request, timeout=WAIT
            )

        yield calling


def listed(dtype: str, values: Array) -> list[Any]:
    """The values as they stand in the field of their kind."""
    if dtype == "string":
        return [text.encode() for text in values.ravel()]
    if dtype in ("float16", "bfloat16"):
        return (to_bits(values) if dtype == "bfloat16" else values.view(np.uint16)).ravel().tolist()
    found: list[Any] = values.ravel().tolist()
    return found


def tensor(pb: Messages, dtype: str, values: Array, *, content: bool = False) -> Any:
    found = pb.TensorProto(dtype=NUMBER_OF[dtype])
    for size in values.shape:
        found.tensor_shape.dim.add(size=size)
    if content:
        found.tensor_content = (to_bits(values) if dtype == "bfloat16" else values).tobytes()
    else:
        getattr(found, FIELDS[dtype]).extend(listed(dtype, values))
    return found


def predict(pb: Messages, name: str, **inputs: Any) -> Any:
    request = pb.PredictRequest()
    request.model_spec.name = name
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(value)
    return request


@pytest.mark.parametrize("dtype", VALUES)
def test_every_datatype_is_predicted_with(call: Any, pb: Messages, dtype: str) -> None:
    values = VALUES[dtype]
    for content in (False, True)[: 1 if dtype == "string" else 2]:
        answer = call("Predict", predict(pb, dtype, x=tensor(pb, dtype, values, content=content)))
        spec = answer.model_spec
        assert (spec.name, spec.version.value, spec.signature_name) == (dtype, 1, "serving_default")
        output = answer.outputs["y"]
        assert (output.dtype, [one.size for one in output.tensor_shape.dim]) == (NUMBER_OF[dtype], [1, 3])
        np.testing.assert_array_equal(list(getattr(output, FIELDS[dtype])), listed(dtype, values))


def test_fewer_values_than_the_shape_has_are_the_short_form_of_tensorflow(call: Any, pb: Messages) -> None:
    for given, told in [([2.0], [2, 2, 2]), ([1.0, 2.0], [1, 2, 2]), ([], [0, 0, 0])]:
        request = tensor(pb, "float32", np.zeros((1, 3), np.float32))
        del request.float_val[:]
        request.float_val.extend(given)
        answer = call("Predict", predict(pb, "float32", x=request))
        assert list(answer.outputs["y"].float_val) == told
    answer = call("Predict", predict(pb, "scalar", x=tensor(pb, "float32", np.array(3.5, np.float32))))
    assert list(answer.outputs["y"].float_val) == [3.5]


def refused(call: Any, name: str, request: Any, code: str, says: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(name, request)
    assert (caught.value.code().name, says in caught.value.details()) == (code, True), caught.value.details()


def test_what_does_not_fit_is_refused_with_its_reason(call: Any, pb: Messages) -> None:
    three = np.zeros((1, 3), np.float32)
    good = tensor(pb, "float32", three)
    many = tensor(pb, "float32", three)
    many.float_val.append(1)
    short = tensor(pb, "float32", three, content=True)
    short.tensor_content = bytes(8)
    odd = tensor(pb, "float32", three, content=True)
    odd.tensor_content = bytes(9)
    wrong_field = tensor(pb, "float32", three)
    del wrong_field.float_val[:]
    wrong_field.double_val.extend([1, 2, 3])
    huge = tensor(pb, "float32", np.zeros((1, 3), np.float32))
    huge.tensor_shape.dim[0].size = 1 << 40
    open_rank = tensor(pb, "float32", three)
    open_rank.tensor_shape.unknown_rank = True
    beyond = tensor(pb, "int8", np.array([[1, 2, 300]]))
    named = predict(pb, "float32", x=good)
    named.model_spec.signature_name = "train"
    filtered = predict(pb, "float32", x=good)
    filtered.output_filter.append("z")
    for request, says in [
        (predict(pb, "float32", x=tensor(pb, "float64", np.zeros((1, 3)))), "dtype float64; it must be float32"),
        (predict(pb, "float32", x=tensor(pb, "float32", np.zeros((1, 4), np.float32))), "axis 1"),
        (predict(pb, "float32", x=many), "has 4 values"),
        (predict(pb, "float32", x=short), "has 2 values"),
        (predict(pb, "float32", x=odd), "no TensorProto"),
        (predict(pb, "float32", x=wrong_field), "field 6"),
        (predict(pb, "float32", x=huge), "too few"),
        (predict(pb, "float32", x=open_rank), "unknown rank"),
        (predict(pb, "int8", x=beyond), "do not fit int8"),
        (predict(pb, "float32"), "the model takes"),
        (predict(pb, "float32", x=good, z=good), "no other"),
        (named, "there is no signature"),
        (filtered, "there is no output"),
    ]:
        refused(call, "Predict", request, "INVALID_ARGUMENT", says)
    refused(call, "Predict", predict(pb, "none", x=good), "NOT_FOUND", "no model 'none'")
    old = predict(pb, "float32", x=good)
    old.model_spec.version.value = 7
    refused(call, "Predict", old, "NOT_FOUND", "no version '7'")


def test_outputs_are_chosen(call: Any, pb: Messages) -> None:
    a, b = (tensor(pb, "float32", np.full((2, 2), value, np.float32)) for value in (3, 1))
    request = predict(pb, "pair", a=a, b=b)
    assert {name: list(one.float_val) for name, one in call("Predict", request).outputs.items()} == {
        "sum": [4] * 4,
        "difference": [2] * 4,
    }
    request.output_filter.append("difference")
    assert list(call("Predict", request).outputs) == ["difference"]


def test_signature_and_status(call: Any, pb: Messages) -> None:
    request = pb.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "pair"
    answer = call("GetModelMetadata", request)
    assert (answer.model_spec.name, answer.model_spec.version.value) == ("pair", 1)
    found = pb.SignatureDefMap()
    assert answer.metadata["signature_def"].type_url == "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    found.ParseFromString(answer.metadata["signature_def"].value)
    signature = found.signature_def["serving_default"]
    assert signature.method_name == "tensorflow/serving/predict"
    assert (set(signature.inputs), set(signature.outputs)) == ({"a", "b"}, {"sum", "difference"})
    a = signature.inputs["a"]
    assert (a.name, a.dtype, [one.size for one in a.tensor_shape.dim]) == ("a", 1, [-1, 2])
    request.metadata_field[:] = ["other"]
    refused(call, "GetModelMetadata", request, "INVALID_ARGUMENT", "signature_def")
    status = pb.GetModelStatusRequest()
    status.model_spec.name = "pair"
    (version,) = call("GetModelStatus", status).model_version_status
    assert (version.version, version.state, version.status.error_code) == (1, 30, 0)
    status.model_spec.name = "none"
    refused(call, "GetModelStatus", status, "NOT_FOUND", "no model 'none'")


def examples(request: Any, *rows: dict[str, Any]) -> Any:
    for row in rows:
        features = request.input.example_list.examples.add().features.feature
        for name, value in row.items():
            kind = "int64_list" if isinstance(value, int) else "float_list"
            getattr(features[name], kind).value.append(value)
    return request


def test_examples_are_classified_and_regressed(call: Any, pb: Messages) -> None:
    request = examples(pb.RegressionRequest(), {"age": 1.5, "height": 2}, {"age": 3, "height": 0.25})
    request.model_spec.name = "rows"
    answer = call("Regress", request)
    assert [one.value for one in answer.result.regressions] == [3.5, 3.25]
    shared = pb.RegressionRequest()
    shared.model_spec.name = "rows"
    shared.input.example_list_with_context.context.features.feature["height"].float_list.value.append(10)
    shared.input.example_list_with_context.examples.add().features.feature["age"].float_list.value.append(1)
    assert [one.value for one in call("Regress", shared).result.regressions] == [11]
    request = pb.ClassificationRequest()
    request.model_spec.name = "float32"
    request.input.example_list.examples.add().features.feature["x"].float_list.value.extend([0.5, 0.25, 1])
    (row,) = call("Classify", request).result.classifications
    assert [(one.label, one.score) for one in row.classes] == [("0", 0.5), ("1", 0.25), ("2", 1)]
    refused(call, "Classify", pb.ClassificationRequest(), "NOT_FOUND", "no model ''")


def test_a_context_is_not_put_into_every_example_where_that_is_far_more_than_what_came(call: Any, pb: Messages) -> None:
    request = pb.RegressionRequest()
    request.model_spec.name = "rows"
    both = request.input.example_list_with_context
    both.context.features.feature["height"].float_list.value.extend([1.0] * 5000)
    for _ in range(1000):
        both.examples.add()
    refused(call, "Regress", request, "INVALID_ARGUMENT", "the context comes to 20012000 bytes in all examples")
