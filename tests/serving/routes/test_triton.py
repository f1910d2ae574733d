"""Configuration, statistics and index as Triton's clients read them."""

from __future__ import annotations

from pathlib import Path

from tests.serving.harness import ask, infer_body, serving
from tests.serving.onnx_models import mixed, mixing, plain, publish_affine


def test_config_leaves_the_batch_out_only_where_requests_share_runs(tmp_path: Path) -> None:
    publish_affine(tmp_path)
    plain(tmp_path, "mixed", mixed())
    plain(tmp_path, "mixing", mixing())
    with serving(tmp_path, max_batch=32) as server:
        found = ask(server.port, "GET", "/v2/models/affine/config").json()
        assert (found["name"], found["platform"], found["max_batch_size"]) == ("affine", "onnxruntime_onnx", 32)
        assert found["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": [3]}]
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
