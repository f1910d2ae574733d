"""Libraries of custom operators: loaded where they were named at the start, with a clear word where they cannot be.

The operators that run here are Microsoft's, from the package onnxruntime-extensions. ONNX Runtime's wheels bring no C
headers, so the library compiled here registers none: it only tells, by a file, that it was loaded and asked.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from tests.serving.harness import ask, infer_body, running
from tests.serving.onnx_models import model, node, plain, publish_affine

from onnxpress.core.errors import BadModel
from onnxpress.serving.cli.explain import explain
from onnxpress.serving.cli.predict import predict
from onnxpress.serving.cli.serve import serve
from onnxpress.serving.cli.tune import tune
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.service import Service
from onnxpress.serving.settings import ModelSettings, ProcessSettings

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc compiles the library")
REGISTERS = """
#include <stdio.h>
void *RegisterCustomOps(void *options, const void *api) {
    (void)options, (void)api;
    FILE *told = fopen("%s", "a");
    if (told) { fputs("registered\\n", told); fclose(told); }
    return 0;
}
"""


_package = importlib.util.find_spec("onnxruntime_extensions")
_theirs = [] if _package is None else list(Path(str(_package.origin)).parent.glob("_extensions_pydll*.so"))
needs_extensions = pytest.mark.skipif(not _theirs, reason="onnxruntime-extensions is not installed")


def repository_with(path: Path, libraries: Sequence[Path], *, isolate: bool = False) -> Repository:
    return Repository(path, ModelSettings(custom_ops=tuple(libraries)), ProcessSettings(isolate=isolate))


def of_domain(operator: str, inputs: list[str], outputs: list[str], domain: bytes) -> tuple[bytes, bytes]:
    """A node of another domain, and what the model's end says of it: NodeProto.domain, ModelProto.opset_import."""
    imported = b"\x0a%c%b\x10\x01" % (len(domain), domain)
    of_it = node(operator, inputs, outputs) + b"\x3a%c%b" % (len(domain), domain)
    return of_it, b"\x42%c%b" % (len(imported), imported)


@needs_extensions
@pytest.mark.parametrize("isolate", [False, True])
def test_a_custom_operator_answers(tmp_path: Path, isolate: bool) -> None:
    inverse, imported = of_domain("Inverse", ["x"], ["y"], b"ai.onnx.contrib")
    upper, _ = of_domain("StringUpper", ["s"], ["t"], b"ai.onnx.contrib")
    inputs, outputs = ["x:float32[2,2]", "s:string[n]"], ["y:float32[2,2]", "t:string[n]"]
    plain(tmp_path, "theirs", model([inverse, upper], inputs, outputs) + imported)
    body = json.dumps(
        {
            "inputs": [
                {"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [2, 0, 0, 4]},
                {"name": "s", "shape": [2], "datatype": "BYTES", "data": ["green", "b"]},
            ]
        }
    )
    with running(Service(repository_with(tmp_path, _theirs, isolate=isolate))) as server:
        answer = ask(server.port, "POST", "/v2/models/theirs/infer", body.encode())
        assert answer.status == 200, answer.body
        found = {output["name"]: output["data"] for output in json.loads(answer.body)["outputs"]}
        assert found == {"y": [0.5, 0, 0, 0.25], "t": ["GREEN", "B"]}


def library(folder: Path, code: str) -> Path:
    """The code as a shared library."""
    source, compiled = folder / "operators.c", folder / "operators.so"
    source.write_text(code)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(compiled), str(source)], check=True, timeout=60)
    return compiled


@needs_gcc
@pytest.mark.parametrize("isolate", [False, True])
def test_a_library_that_is_named_is_asked_for_its_operators(tmp_path: Path, isolate: bool) -> None:
    publish_affine(tmp_path / "models")
    told = tmp_path / "told"
    operators = library(tmp_path, REGISTERS % told)
    repository = repository_with(tmp_path / "models", [operators], isolate=isolate)
    with running(Service(repository)) as server:
        assert ask(server.port, "POST", "/v2/models/affine/infer", infer_body([[1, 2, 3]])).status == 200
    assert told.read_text().splitlines() == ["registered"]


@needs_gcc
@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        (explain, []),
        (tune, ["--seconds", "0.001", "--threads", "1", "--max-batch", "1"]),
        (predict, ["question.json"]),
    ],
)
def test_every_command_that_loads_a_model_takes_it(
    command: click.Command, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    version = publish_affine(tmp_path / "models")
    Path("question.json").write_bytes(infer_body([[1, 2, 3]]))
    operators = library(tmp_path, REGISTERS % (tmp_path / "told"))
    found = CliRunner().invoke(command, [str(version), *arguments, "--custom-ops", str(operators)])
    assert found.exit_code == 0, found.output
    assert (tmp_path / "told").exists()


@needs_gcc
def test_a_library_beside_a_model_is_not_loaded(tmp_path: Path) -> None:
    publish_affine(tmp_path / "models")
    told = tmp_path / "told"
    library(tmp_path / "models" / "affine", REGISTERS % told)
    with running(Service(Repository(tmp_path / "models"))) as server:
        assert ask(server.port, "POST", "/v2/models/affine/infer", infer_body([[1, 2, 3]])).status == 200
    assert not told.exists()


@pytest.mark.parametrize("isolate", [False, True])
@pytest.mark.parametrize("content", [b"no library", b"", b"\x7fELF" + bytes(200)])
def test_a_file_that_is_no_library(tmp_path: Path, content: bytes, isolate: bool) -> None:
    publish_affine(tmp_path / "models")
    wrong = tmp_path / "wrong.so"
    wrong.write_bytes(content)
    with pytest.raises(BadModel, match="custom operators cannot be loaded: Failed to load library") as caught:
        repository_with(tmp_path / "models", [wrong], isolate=isolate).load()
    assert str(wrong) in str(caught.value)


@needs_gcc
def test_a_library_without_operators(tmp_path: Path) -> None:
    publish_affine(tmp_path / "models")
    other = library(tmp_path, "int nothing(void) { return 1; }")
    with pytest.raises(BadModel, match="undefined symbol: RegisterCustomOps"):
        repository_with(tmp_path / "models", [other]).load()


def test_a_missing_library_is_said_before_anything_is_loaded(tmp_path: Path) -> None:
    publish_affine(tmp_path)
    found = CliRunner().invoke(serve, [str(tmp_path), "--custom-ops", str(tmp_path / "absent.so")])
    assert found.exit_code == 2
    assert "absent.so" in found.output
    assert "does not exist" in found.output


def test_a_model_with_unknown_operators_says_what_would_help(tmp_path: Path) -> None:
    operator, imported = of_domain("Mystery", ["x"], ["y"], b"com.example")
    plain(tmp_path, "unknown", model([operator], ["x:float32[n]"], ["y:float32[n]"]) + imported)
    with pytest.raises(BadModel, match="--custom-ops LIBRARY"):
        Repository(tmp_path).load()
