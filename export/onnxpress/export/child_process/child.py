"""The child: `python -m onnxpress.export.child_process.child FOLDER` resolves, converts and writes."""

from __future__ import annotations

import faulthandler
import os
import pickle
import signal
import sys
import threading
from pathlib import Path

import msgspec

from onnxpress.core.errors import BadModel, OnnxpressError
from onnxpress.export.child_process.parent import FAILURE, MODEL, OUTCOME, REQUEST, STATE, Outcome, Request
from onnxpress.export.graph import external_data
from onnxpress.export.networks.wrap import wrap
from onnxpress.export.sources.resolve import resolve


def main(folder: Path) -> int:
    """Convert as the request in `folder` says. 0: the model is written; 1: the error is."""
    # The converter's talk is captured, so what the process itself says when it dies needs a way of its own.
    stderr = os.fdopen(os.dup(2), "w")
    faulthandler.enable(stderr)
    if hasattr(signal, "SIGUSR1"):
        faulthandler.register(signal.SIGUSR1, stderr)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    request = msgspec.json.decode(
        (folder / REQUEST).read_bytes(), type=Request, dec_hook=lambda kind, value: kind(value)
    )
    try:
        network = wrap(resolve(request.source))
        if (folder / STATE).exists():
            network.read_state(folder / STATE)
        proto = network.convert(folder)
        external_data.put_beside(proto, folder, above=request.external_above)
        (folder / MODEL).write_bytes(proto.SerializeToString(deterministic=True))
    except OnnxpressError as error:
        return _fail(folder, error)
    except Exception as error:
        return _fail(folder, BadModel(f"the converter failed: {type(error).__name__}: {error}"))
    outcome = Outcome(converter=network.converter, notes=network.notes, talk=network.talk)
    (folder / OUTCOME).write_bytes(msgspec.json.encode(outcome))
    return 0


def _fail(folder: Path, error: OnnxpressError) -> int:
    # The chain is left behind: a framework's exceptions need the framework to be read again.
    (folder / FAILURE).write_bytes(pickle.dumps(error))
    return 1


def _end_with_parent() -> None:
    """The parent never writes: the pipe's end is the parent's. Unbuffered, as a buffer's lock would hang the exit."""
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    code = main(Path(sys.argv[1]))
    sys.stdout.flush()
    sys.stderr.flush()
    # Frameworks have been seen to hang or crash in their own shutdown, after all was written.
    os._exit(code)
