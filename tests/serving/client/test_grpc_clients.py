"""gRPC's clients that we did not write and that are not installed with the rest: KServe's, TensorFlow Serving's stubs.

Their packages want another protobuf than TensorFlow and onnx do. So they are installed in an environment of their own,
where this file is run: `pip install kserve`, or `tensorflow-serving-api` beside TensorFlow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest
from tests.serving.harness import WAIT, running
from tests.serving.onnx_models import identity, model, node, plain

from onnxpress.serving.models.repository import Repository
from onnxpress.serving.service import Service


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("models")
    pair = ["a:float32[batch,2]", "b:float32[batch,2]"], ["sum:float32[batch,2]", "difference:float32[batch,2]"]
    plain(folder, "pair", model([node("Add", ["a", "b"], ["sum"]), node("Sub", ["a", "b"], ["difference"])], *pair))
    plain(folder, "texts", identity("string"))
    with running(Service(Repository(folder))) as server:
        yield f"127.0.0.1:{server.port}"


def test_kserve(address: str) -> None:
    kserve = pytest.importorskip("kserve", reason="needs kserve")

    async def ask() -> None:
        client = kserve.InferenceGRPCClient(address)
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready("pair")
        inputs = [kserve.InferInput(name, [1, 2], "FP32") for name in "ab"]
        for number, tensor in enumerate(inputs):
            tensor.set_data_from_numpy(np.array([[5, number]], np.float32))
        answer = await client.infer(kserve.InferRequest(model_name="pair", infer_inputs=inputs))
        found = {output.name: output.as_numpy().tolist() for output in answer.outputs}
        assert found == {"sum": [[10, 1]], "difference": [[0, -1]]}
        await client.close()

    asyncio.run(ask())


def test_the_stubs_of_tensorflow_serving(address: str) -> None:
    reason = "needs tensorflow-serving-api"
    predict_pb2 = pytest.importorskip("tensorflow_serving.apis.predict_pb2", reason=reason)
    import grpc
    from tensorflow import make_ndarray, make_tensor_proto
    from tensorflow_serving.apis import (
        get_model_metadata_pb2,
        get_model_status_pb2,
        model_service_pb2_grpc,
        prediction_service_pb2_grpc,
    )

    with grpc.insecure_channel(address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = "pair", "serving_default"
        request.inputs["a"].CopyFrom(make_tensor_proto([[1.0, 2.0]], shape=[1, 2]))
        request.inputs["b"].CopyFrom(make_tensor_proto(0.5, shape=[1, 2], dtype="float32"))
        answer = stub.Predict(request, WAIT)
        assert make_ndarray(answer.outputs["sum"]).tolist() == [[1.5, 2.5]]
        assert list(answer.outputs["difference"].float_val) == [0.5, 1.5]
        texts = predict_pb2.PredictRequest()
        texts.model_spec.name = "texts"
        texts.inputs["x"].CopyFrom(make_tensor_proto([["a", "ß"]]))
        assert make_ndarray(stub.Predict(texts, WAIT).outputs["y"]).tolist() == [[b"a", "ß".encode()]]
        asked = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        asked.model_spec.name = "pair"
        found = get_model_metadata_pb2.SignatureDefMap()
        assert stub.GetModelMetadata(asked, WAIT).metadata["signature_def"].Unpack(found)
        assert set(found.signature_def["serving_default"].inputs) == {"a", "b"}
        status = get_model_status_pb2.GetModelStatusRequest()
        status.model_spec.name = "pair"
        (version,) = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(status, WAIT).model_version_status
        assert version.state == get_model_status_pb2.ModelVersionStatus.AVAILABLE
