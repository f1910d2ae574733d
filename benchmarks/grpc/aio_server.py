"""The same engine behind grpcio's asyncio server: `aio_server.py FOLDER` prints its port and answers ModelInfer.

As its users write it: messages of the public stubs, a run for each request.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from onnxpress.serving.models.repository import Repository


async def main(folder: Path) -> None:
    repository = Repository(folder)
    repository.load()
    engine = repository.find("tiny", None).engine

    class Servicer(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
        async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
            tensor = request.inputs[0]
            x = np.frombuffer(request.raw_input_contents[0], np.float32).reshape(list(tensor.shape))
            outputs = engine.run_all({tensor.name: x}, x.size, None)
            answer = service_pb2.ModelInferResponse(model_name="tiny", model_version="1")
            for spec, output in zip(engine.outputs, outputs, strict=True):
                answer.outputs.add(name=spec.name, datatype="FP32", shape=output.shape)
                answer.raw_output_contents.append(output.tobytes())
            return answer

    server = grpc.aio.server()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"http://127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
