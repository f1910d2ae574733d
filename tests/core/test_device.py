"""Where a model runs, as text."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from onnxpress.core.device import Device, parse
from onnxpress.core.errors import UsageError
from onnxpress.core.options import provider


def test_a_device_is_read_from_its_name() -> None:
    assert parse("cpu") == Device()
    assert parse("cuda") == parse("cuda:0") == Device(provider="cuda")
    assert parse("cuda:3").index == 3
    assert str(parse("cuda")) == "cuda:0"
    assert str(parse("cpu")) == "cpu"


def test_options_of_a_gpu_follow_after_commas() -> None:
    device = parse("cuda:1,memory=1.5GiB,arena=exact,search=exhaustive,nhwc,graphs")
    assert device.options() == {
        "device_id": "1",
        "use_tf32": "0",
        "cudnn_conv_algo_search": "EXHAUSTIVE",
        "arena_extend_strategy": "kSameAsRequested",
        "gpu_mem_limit": str(3 << 29),
        "prefer_nhwc": "1",
        "enable_cuda_graph": "1",
    }


def test_tensorrt_takes_an_index_and_memory_alone() -> None:
    device = parse("tensorrt:1,memory=2GiB")
    assert (device.provider, device.index, device.memory) == ("tensorrt", 1, 2 << 30)
    assert str(device) == "tensorrt:1"
    for wrong in ("tensorrt,graphs", "tensorrt,nhwc", "tensorrt:1,search=heuristic"):
        with pytest.raises(UsageError, match="says nothing"):
            parse(wrong)


def test_float32_keeps_its_bits_unless_it_was_measured_without() -> None:
    assert parse("cuda").options()["use_tf32"] == "0"
    assert parse("cuda").options()["cudnn_conv_algo_search"] == "HEURISTIC"
    assert parse("cuda").options(tf32=True)["use_tf32"] == "1"
    assert parse("cpu").options(tf32=True) == {}


@pytest.mark.parametrize(
    "text",
    ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:1", "cpu,graphs", "CUDA", "cuda,", "cuda,tf32", "cuda,memory",
     "cuda,memory=0", "cuda,memory=2TB", "cuda,arena=half", "cuda,search=", "cuda,nhwc=1", "cuda,graphs,graphs",
     "cuda,index=1", "cuda,provider=cpu"],
)  # fmt: skip
def test_anything_else_is_refused_with_all_that_can_be_said(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert "memory=4GiB" in str(caught.value.hint)


def test_the_command_line_takes_what_can_be_read_and_says_what_can() -> None:
    @click.command()
    @provider
    def where(provider: str) -> None:
        click.echo(provider)

    run = CliRunner().invoke
    assert run(where, ["--provider", "cuda:1,graphs"]).stdout == "cuda:1,graphs\n"
    assert run(where, []).stdout == "cpu\n"
    wrong = run(where, ["--provider", "gpu"])
    assert wrong.exit_code == 2
    assert "no provider 'gpu'; choose one of cpu, cuda" in wrong.stderr
