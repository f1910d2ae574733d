"""A published version loads unchanged in OpenVINO's runtime, and answers there within the same noise floors."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")
openvino = pytest.importorskip("openvino")

from onnxpress.core import golden  # noqa: E402
from onnxpress.export.pipeline.export import export  # noqa: E402
from onnxpress.export.pipeline.publish import Published  # noqa: E402
from onnxpress.export.source import Source  # noqa: E402


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Published:
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Linear(6, 32), torch.nn.GELU(), torch.nn.LayerNorm(32), torch.nn.Linear(32, 3), torch.nn.Softmax(-1)
    )
    source = Source(reference="test", name="m", framework="pytorch", network=network, example_inputs=torch.randn(64, 6))
    return export(source, repository=tmp_path_factory.mktemp("models"))


def worst(version: Published, precision: str) -> float:
    core = openvino.Core()
    model = core.read_model(version.folder / "model.onnx")
    # The author's names and the varying batch survive the reading.
    assert [port.any_name for port in model.inputs] == [spec.name for spec in version.manifest.inputs]
    assert [port.any_name for port in model.outputs] == [spec.name for spec in version.manifest.outputs]
    assert model.inputs[0].partial_shape[0].is_dynamic
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": precision})
    multiples = []
    for case in golden.read(version.folder / golden.FILE_NAME):
        answers = compiled(case.inputs)
        named = {port.any_name: answers[port] for port in compiled.outputs}
        multiples += golden.worst_multiple(case, named).values()
    assert multiples
    return max(multiples)


def test_in_float32_it_says_the_same(version: Published) -> None:
    assert worst(version, "f32") <= version.manifest.equivalence.limit


def test_the_goldens_show_when_it_computes_in_less(version: Published) -> None:
    """OpenVINO chooses bfloat16 by itself on processors that have it; whoever moves a version there can see that."""
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor has no bfloat16")
    assert worst(version, "bf16") > 100
