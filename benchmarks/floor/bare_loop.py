"""The floor: a bare uvloop + httptools loop that decodes JSON, runs the model and encodes JSON. No features, no checks.

ORT_DISABLE_TELEMETRY=1 taskset -c 0 python bare_loop.py MODEL.onnx PORT
taskset -c 1 wrk -t1 -c16 -d5s --latency -s post.lua http://127.0.0.1:PORT/
"""

import asyncio
import sys

import httptools
import msgspec
import numpy as np
import onnxruntime as ort
import uvloop

options = ort.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
input_name = session.get_inputs()[0].name
output_names = [o.name for o in session.get_outputs()]


class Tensor(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: list


class Request(msgspec.Struct):
    inputs: list[Tensor]


class Response(msgspec.Struct):
    model_name: str
    outputs: list[Tensor]


decode = msgspec.json.Decoder(Request).decode
encode = msgspec.json.Encoder().encode
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"


def infer(body: bytes) -> bytes:
    tensor = decode(body).inputs[0]
    x = np.array(tensor.data, dtype=np.float32).reshape(tensor.shape)
    outputs = session.run(output_names, {input_name: x})
    return encode(
        Response(
            "m",
            [Tensor(n, list(y.shape), "FP32", y.ravel().tolist()) for n, y in zip(output_names, outputs, strict=True)],
        )
    )


class Loop(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.parser, self.parts = transport, httptools.HttpRequestParser(self), []

    def data_received(self, data):
        self.parser.feed_data(data)

    def on_body(self, part):
        self.parts.append(part)

    def on_message_complete(self):
        answer, self.parts = infer(b"".join(self.parts)), []
        self.transport.write(HEAD % (len(answer), answer))


async def main():
    server = await asyncio.get_running_loop().create_server(Loop, "127.0.0.1", int(sys.argv[2]))
    await server.serve_forever()


uvloop.run(main())
