"""Write `descriptors.binpb` anew from the files in `protos/`: `python scripts/write_descriptors.py`.

It needs protoc, or grpcio-tools. Comments and places are left out, and what is imported is put in.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "serving/onnxpress/serving/protocol"


def compiled(compiler: list[str]) -> bytes:
    """The FileDescriptorSet that a compiler makes of all files, in a fixed order."""
    protos = FOLDER / "protos"
    names = sorted(str(path.relative_to(protos)) for path in protos.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "set"
        command = [*compiler, f"--proto_path={protos}", "--include_imports", f"--descriptor_set_out={out}", *names]
        subprocess.run(command, check=True)
        return out.read_bytes()


def compiler() -> list[str] | None:
    """The command of a compiler of protobuf; None where there is none."""
    if (found := shutil.which("protoc")) is not None:
        return [found]
    if find_spec("grpc_tools") is not None:
        from importlib.resources import files

        return [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={files('grpc_tools') / '_proto'}"]
    return None


if __name__ == "__main__":
    command = compiler()
    if command is None:
        raise SystemExit("there is neither protoc nor grpcio-tools; install one of them")
    (FOLDER / "descriptors.binpb").write_bytes(compiled(command))
