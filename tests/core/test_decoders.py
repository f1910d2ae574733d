"""Decoders for several threads: a struct that many meet for the first time at once ends no process."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys, threading, types
import msgspec
from onnxpress.core import decoders

sys.setswitchinterval(1e-6)
module = sys.modules["structs"] = types.ModuleType("structs")
source = "import msgspec\\nfrom typing import Any\\n"
for n in range(60):
    source += f"class S{n}(msgspec.Struct):\\n    a: list[int] | None = None\\n    b: dict[str, Any] = {{}}\\n"
source += "class All(msgspec.Struct):\\n" + "".join(f"    f{n}: list[S{n}] = []\\n" for n in range(60))
exec(source, module.__dict__)
go, found = threading.Barrier(16), []

def run():
    go.wait()
    found.append(decoders.of_json(module.All).decode(b'{"f59":[{"a":[1]}]}').f59[0].a)
    found.append(decoders.of_msgpack(module.All).decode(msgspec.msgpack.encode({"f1": [{"a": [1]}]})).f1[0].a)

threads = [threading.Thread(target=run) for _ in range(16)]
for one in threads: one.start()
for one in threads: one.join()
assert found == [[1]] * 32
"""


def test_many_threads_meet_a_struct_at_once() -> None:
    for _ in range(4):
        subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=60)
