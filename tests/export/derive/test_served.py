"""A version in 8 bits and its parent, served side by side under load."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from pathlib import Path
from threading import Event

import numpy as np
from tests.export.derive.networks import classifier, published, rows
from tests.export.derive.test_stage import manifest_of, run, saved
from tests.serving.harness import WAIT, Client, ask, request, serving

from onnxpress.core.arrays import Array

_CALLERS, _ROUNDS = 16, 4


def asked(version: int, x: Array) -> bytes:
    tensor = {"name": "x", "shape": list(x.shape), "datatype": "FP32", "data": x.ravel().tolist()}
    target = f"/v2/models/net/versions/{version}/infer"
    return request("POST", target, json.dumps({"inputs": [tensor]}).encode())


def test_its_rows_are_batched_beside_its_parents_and_each_is_answered_as_alone(tmp_path: Path) -> None:
    folder = published(tmp_path / "models", classifier(hidden=256)).parent
    data = saved(tmp_path / "rows.npz", x=rows(1000, 16))
    run(folder, "--precision", "int8", "--calibrate", data, "--max-flips", "30%", "--min-smaller", "1.1")
    assert (manifest_of(folder / "2").batch_safe, manifest_of(folder / "2").rows) == (True, "proven")
    x = rows(_CALLERS, 16, seed=8) * np.float32(3)
    with serving(tmp_path / "models", versions="all") as server, ExitStack() as stack:
        clients = [stack.enter_context(Client(server.port)) for _ in x]
        alone = {}
        for version in (1, 2):
            for row, client in enumerate(clients):
                client.send(asked(version, x[row : row + 1]))
                alone[version, row] = client.reply().json()["outputs"][0]["data"]
        assert alone[1, 0] != alone[2, 0]
        for _ in range(_ROUNDS):
            sent = Event()
            server.loop.call_soon_threadsafe(sent.wait, WAIT)  # what has come by then is read in one turn
            for row, client in enumerate(clients):
                client.send(asked(2, x[row : row + 1]) + asked(1, x[row : row + 1]))
            sent.set()
            for row, client in enumerate(clients):
                for version in (2, 1):
                    reply = client.reply()
                    assert reply.status == 200
                    np.testing.assert_allclose(reply.json()["outputs"][0]["data"], alone[version, row], rtol=1e-5)
        text = ask(server.port, "GET", "/metrics").body.decode()
    batches = re.findall(r'^onnxpress_batch_requests_count\{[^}]*version="2"[^}]*\} (\d+)', text, re.MULTILINE)
    assert int(batches[0]) < _CALLERS * (_ROUNDS + 1)
