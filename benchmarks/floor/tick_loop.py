"""The bare loop with one change: what one turn of the event loop parsed is run as one batch. No features, no checks.

Run like bare_loop.py. A callback put at the end of the turn (`call_soon`) runs everything parsed in it, so nobody waits
for a timer and a lone request runs at once.
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
waiting: list[tuple[asyncio.Transport, Tensor]] = []


def run_waiting() -> None:
    batch = waiting.copy()
    waiting.clear()
    values = [v for _, t in batch for v in t.data] if len(batch) > 1 else batch[0][1].data
    x = np.array(values, dtype=np.float32).reshape(-1, *batch[0][1].shape[1:])
    outputs = session.run(output_names, {input_name: x})
    row = 0
    for transport, tensor in batch:
        end = row + tensor.shape[0]
        parts = [
            Tensor(n, [end - row, *y.shape[1:]], "FP32", y[row:end].ravel().tolist())
            for n, y in zip(output_names, outputs, strict=True)
        ]
        answer, row = encode(Response("m", parts)), end
        transport.write(HEAD % (len(answer), answer))


class Loop(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.parser, self.parts = transport, httptools.HttpRequestParser(self), []

    def data_received(self, data):
        self.parser.feed_data(data)

    def on_body(self, part):
        self.parts.append(part)

    def on_message_complete(self):
        tensor, self.parts = decode(b"".join(self.parts)).inputs[0], []
        if not waiting:
            asyncio.get_running_loop().call_soon(run_waiting)
        waiting.append((self.transport, tensor))


async def main():
    server = await asyncio.get_running_loop().create_server(Loop, "127.0.0.1", int(sys.argv[2]))
    await server.serve_forever()


uvloop.run(main())
