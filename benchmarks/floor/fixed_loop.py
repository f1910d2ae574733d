"""The ceiling: a uvloop that reads nothing of what it is sent, runs no model, and writes the same answer every time.

What is left is what the kernel, uvloop and Python's call of data_received cost: no server in Python is quicker.

    taskset -c 0 python fixed_loop.py PORT
"""

import asyncio
import sys

import uvloop

_BODY = b'{"model_name":"m","outputs":[{"name":"y","shape":[1,2],"datatype":"FP32","data":[0.123456,0.876544]}]}'
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(_BODY), _BODY)


class Loop(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(_ANSWER)


async def main():
    server = await asyncio.get_running_loop().create_server(Loop, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


uvloop.run(main())
