"""Configuration, statistics and index as Triton's clients read them."""

from __future__ import annotations

import json
from pathlib import Path

from tests.serving.harness import ask, infer_body, running, serving
from tests.serving.onnx_models import mixed, mixing, plain, publish_affine

from onnxpress.serving.models.reloading import Reloader
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.service import Service


def test_config_leaves_the_batch_out_only_where_requests_share_runs(tmp_path: Path) -> None:
    publish_affine(tmp_path)
    plain(tmp_path, "mixed", mixed())
    plain(tmp_path, "mixing", mixing())
    with serving(tmp_path, max_batch=32, instances=2) as server:
        found = ask(server.port, "GET", "/v2/models/affine/config").json()
        assert (found["name"], found["platform"], found["max_batch_size"]) == ("affine", "onnxruntime_onnx", 32)
        assert found["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": [3]}]
        assert found["instance_group"] == [{"name": "affine", "count": 2, "kind": "KIND_CPU"}]
        found = ask(server.port, "GET", "/v2/models/mixed/versions/1/config").json()
        assert found["max_batch_size"] == 32
        assert {"name": "s", "data_type": "TYPE_STRING", "dims": []} in found["input"]
        found = ask(server.port, "GET", "/v2/models/mixing/versions/1/config").json()
        assert found["max_batch_size"] == 0
        assert found["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": [-1, 3]}]


def test_statistics_count_requests_and_runs(tmp_path: Path) -> None:
    publish_affine(tmp_path)
    publish_affine(tmp_path, "other")
    with serving(tmp_path) as server:
        for body in (infer_body([[1, 2, 3]]), infer_body([[1, 2, 3]]), b"{"):
            ask(server.port, "POST", "/v2/models/affine/infer", body)
        (found,) = ask(server.port, "GET", "/v2/models/affine/stats").json()["model_stats"]
        assert (found["name"], found["version"], found["inference_count"]) == ("affine", "1", 2)
        assert found["inference_stats"]["success"]["count"] == 2
        assert found["inference_stats"]["success"]["ns"] > 0
        assert found["inference_stats"]["fail"]["count"] == 1
        every = ask(server.port, "GET", "/v2/models/stats").json()["model_stats"]
        assert [(one["name"], one["inference_count"]) for one in every] == [("affine", 2), ("other", 0)]


def test_the_index_names_what_is_served_and_what_is_not_without_paths(tmp_path: Path) -> None:
    publish_affine(tmp_path)
    plain(tmp_path, "broken", b"no")
    with serving(tmp_path) as server:
        reply = ask(server.port, "POST", "/v2/repository/index")
        assert [(row["name"], row["version"], row["state"]) for row in reply.json()] == [
            ("affine", "1", "READY"),
            ("broken", "1", "UNAVAILABLE"),
        ]
        assert str(tmp_path).encode() not in reply.body
        ready = ask(server.port, "POST", "/v2/repository/index", b'{"ready": true}').json()
        assert [row["name"] for row in ready] == ["affine"]
        assert ask(server.port, "POST", "/v2/repository/index", b"{").status == 400
        for verb in ("load", "unload"):
            reply = ask(server.port, "POST", f"/v2/repository/models/affine/{verb}")
            assert reply.status == 403
            assert "--model-control" in reply.json()["error"]


def test_a_load_that_wants_more_than_the_folder_holds_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    publish_affine(tmp_path)
    repository = Repository(tmp_path)
    with running(Service(repository, control=Reloader(repository))) as server:
        for verb, body, says in (
            ("load", {"parameters": {"config": "{}"}}, "as it lies in the repository"),
            ("load", {"parameters": {"config": "{}", "file:1/model.onnx": "AAAA"}}, "as it lies in the repository"),
            ("load", {"parameters": 5}, "no load request"),
            ("unload", {"parameters": {"unload_dependents": "yes"}}, "true or false"),
            ("unload", [], "no unload request"),
        ):
            path = f"/v2/repository/models/affine/{verb}"
            reply = ask(server.port, "POST", path, json.dumps(body).encode())
            assert reply.status == 400
            assert says in reply.json()["error"]
            for content in (b"{", b"\xff", b"no", b"[" * 100_000):
                assert ask(server.port, "POST", path, content).status == 400
        assert ask(server.port, "GET", "/v2/models/affine/ready").status == 200
        for verb, content in (("load", b"{}"), ("unload", b'{"parameters":{"unload_dependents":false}}')):
            assert ask(server.port, "POST", f"/v2/repository/models/affine/{verb}", content).status == 200
        assert ask(server.port, "GET", "/v2/models/affine/ready").status == 404


def test_shared_memory_is_refused_with_the_reason(tmp_path: Path) -> None:
    publish_affine(tmp_path)
    with serving(tmp_path) as server:
        for method, path in (("GET", "status"), ("POST", "region/r/register"), ("POST", "unregister")):
            for kind in ("system", "cuda"):
                reply = ask(server.port, method, f"/v2/{kind}sharedmemory/{path}", b"{}")
                assert (reply.status, "no shared memory" in reply.json()["error"]) == (400, True)
