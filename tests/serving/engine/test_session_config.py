"""What a manifest may set of the runtime: nothing that names a file, a library, a log or a number of threads."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.serving.publishing import MODELS

from onnxpress.core.errors import BadModel
from onnxpress.core.manifest import SessionSettings
from onnxpress.serving.engine import Engine
from onnxpress.serving.engine.runtime import onnxruntime
from onnxpress.serving.engine.session_config import ALLOWED, checked
from onnxpress.serving.engine.sessions import local_session

TINY = str(MODELS / "tiny.onnx")
DANGEROUS = {
    "session.optimized_model_filepath": "written.onnx",
    "session.optimized_model_external_initializers_file_name": "written.bin",
    "session.optimized_model_external_initializers_min_size_in_bytes": "0",
    "session.model_external_initializers_file_folder_path": "/",
    "session.save_model_format": "ONNX",
    "session.save_external_prepacked_constant_initializers": "1",
    "session.load_model_format": "ORT",
    "session.use_ort_model_bytes_directly": "1",
    "session.use_ort_model_bytes_for_initializers": "1",
    "session.use_memory_mapped_ort_model": "1",
    "session.enable_profiling": "1",
    "session.profile_file_prefix": "written",
    "session.collect_node_memory_stats_to_file": "written.csv",
    "session.moe_expert_counter_state_file": "written",
    "session.enable_moe_expert_counting": "1",
    "session.node_partition_config_file": "secret.txt",
    "session.layer_assignment_settings": "cpu(secret.txt)",
    "session.name_based_layer_assignment": "secret.txt",
    "session.resource_cuda_partitioning_settings": "100,secret.txt",
    "session.custom_ops_library": "./evil.so",
    "ep.context_enable": "1",
    "ep.context_file_path": "written.onnx",
    "ep.context_model_external_initializers_file_name": "written.bin",
    "ep.context_embed_mode": "0",
    "ep.cuda.anything": "1",
    "session.log_id": "a\nb",
    "session.log_severity_level": "0",
    "session.log_verbosity_level": "9",
    "session.intra_op_num_threads": "64",
    "session.inter_op_num_threads": "64",
    "session.intra_op_thread_affinities": "1;2",
    "session.intra_op.spin_duration_us": "1000000000",
    "session.use_env_allocators": "1",
    "session.use_per_session_threads": "0",
    "session.compile_only": "1",
    "session.disable_model_compile": "1",
    "session.disable_cpu_ep_fallback": "1",
    "session.max_shape_override": "x:1",
    "session.debug_layout_transformation": "1",
    "session.graph_optimization_level": "0",
    "session.execution_mode": "1",
    "session.enable_saved_runtime_optimizations": "1",
    "memory.enable_memory_arena_shrinkage": "cpu:0",
    "optimization.minimal_build_optimizations": "save",
    "optimization.disable_specified_optimizers": "x",
    "": "1",
    "session.x64quantprecision\0": "1",
    "SESSION.X64QUANTPRECISION": "1",
    " session.x64quantprecision": "1",
    "session.\ud800": "1",
    "k" * 5000: "1",
}


@pytest.mark.parametrize("key", DANGEROUS, ids=lambda key: ascii(key[:60]))
def test_a_key_that_is_not_on_the_list_is_refused_by_name(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = SessionSettings(config={key: DANGEROUS[key]})
    with pytest.raises(BadModel, match="is not one that a manifest may give") as caught:
        local_session(TINY, "cpu", settings, 1, True)
    assert not list(tmp_path.iterdir())
    assert len(str(caught.value)) < 3000
    assert "\0" not in str(caught.value)


def test_no_key_of_the_runtime_that_names_a_file_is_on_the_list() -> None:
    """Looked for in the library itself, so that a newer runtime's keys are seen."""
    library = Path(next(Path(onnxruntime().__file__).parent.glob("capi/onnxruntime_pybind11_state*")))
    found = {
        key.decode()
        for key in re.findall(rb"(?:session|ep|optimization|memory)\.[a-z0-9_.]{4,80}", library.read_bytes())
    }
    suspicious = {
        key
        for key in found
        if re.search("file|path|folder|director|profil|librar|partition|assign|prefix|log_|context|threads|save", key)
    }
    assert len(suspicious) > 15, "the keys are not where they were; look anew"
    assert suspicious.isdisjoint(ALLOWED)


@pytest.mark.parametrize("key", ALLOWED)
def test_every_allowed_key_is_taken_by_the_runtime_and_writes_nothing(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    value = "1" if re.fullmatch(ALLOWED[key], "1") else "16"
    Engine.load(Path(TINY), settings=SessionSettings(config={key: value}), threads=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", ["", "2", "maybe", "1\n", "1" * 5000, "../x", "1 ", "\0", "\ud800"])
def test_a_value_that_is_none_of_the_keys_is_refused(value: str) -> None:
    with pytest.raises(BadModel, match="cannot be"):
        checked({"session.x64quantprecision": value})


def test_a_models_own_metadata_sets_nothing() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os; from onnxpress.serving.engine.runtime import onnxruntime; onnxruntime(); "
            "print('ORT_LOAD_CONFIG_FROM_MODEL' in os.environ)",
        ],
        env={**os.environ, "ORT_LOAD_CONFIG_FROM_MODEL": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"
