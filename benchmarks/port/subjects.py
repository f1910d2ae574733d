"""The models that are carried, by family: what is called, and what no person could write in the other framework."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from onnxpress.core.tensors import parse_spec
from onnxpress.export.networks.wrap import wrap
from onnxpress.export.port.carrying import To
from onnxpress.export.source import Framework, Source

Built = tuple[Any, dict[str, Any]]
ENCODERS = (
    "bert", "roberta", "xlm_roberta", "camembert", "distilbert", "albert", "electra", "mpnet", "deberta", "deberta_v2",
    "ernie", "convbert", "roformer", "squeezebert", "mobilebert", "modernbert", "layoutlm", "data2vec_text",
    "t5_encoder", "mt5_encoder", "umt5_encoder", "bart_encoder", "clip_text", "siglip_text", "vit", "deit", "beit",
    "dinov2", "clip_vision", "siglip_vision", "swin", "swinv2", "whisper_encoder", "wav2vec2", "hubert",
)  # fmt: skip
"""of benchmarks.sweeps.transformers_models"""
OTHERS = (
    "gpt2", "gpt_neox", "gptj", "opt", "bloom", "falcon", "llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2",
    "phi", "phi3", "stablelm", "olmo", "starcoder2", "granite", "cohere", "convnext", "resnet", "regnet",
    "mobilenet_v2", "segformer", "poolformer",
)  # fmt: skip
"""the same: decoders without a cache, and images"""
_OF_ONE_LENGTH = dict.fromkeys(("wav2vec2", "hubert"), ("input_values:float32[batch,400]",))
"""encoders whose convolutions take no short rows: their inputs"""
_DECIDES = "its way depends on the values or the number of the rows"
_RANDOM = "its answers are random"
_STATE = "it keeps a state between two calls"
NOT_IN_KERAS = {
    "branch_on_values": _DECIDES,
    "branch_that_no_measured_input_takes": _DECIDES,
    "plain_rnn_with_a_branch_on_values": _DECIDES,
    "branch_on_the_batch_size": _DECIDES,
    "python_branch_seen_by_the_tracer_only": "it answers otherwise while it is compiled",
    "size_written_into_the_code": "it answers one number of rows alone",
    "dropout_that_is_always_on": _RANDOM,
    "numpy_randomness": _RANDOM,
    "counter_in_forward": _STATE,
    "buffer_changed_in_forward": _STATE,
    "answer_that_is_a_string": "its answer is no tensor",
    "plain_number_that_follows_the_batch": "its answer is a plain number",
}
"""of the corpus's torch models"""
NOT_IN_TORCH = {
    "string_lookup": "torch has no strings",
    "stateful_lstm": _STATE,
    "noise_at_inference": _RANDOM,
    "counter_in_call": _STATE,
    "branch_on_the_static_batch": _DECIDES,
}
"""of the corpus's Keras models"""


@dataclass(frozen=True)
class Subject:
    """A model that is carried, from where and to where, and why it cannot be written there at all, if so."""

    family: str
    name: str
    build: Callable[[], Built]
    """the model, and what its Source is given beside it"""
    unwritable: str = ""
    framework: Framework = "pytorch"
    to: To = "tensorflow"

    @property
    def label(self) -> str:
        """As it is named on the command line."""
        return f"{self.family}/{self.name}"


OF_FAULTS = ("torch-usual", "torch-families", "keras-usual")
"""in whose ports faults are planted"""
FAMILIES: dict[str, Callable[[], Iterator[Subject]]] = {}
"""the family's name → its subjects"""


def _family(name: str) -> Callable[[Callable[[], Iterator[Subject]]], None]:
    def add(subjects: Callable[[], Iterator[Subject]]) -> None:
        FAMILIES[name] = subjects

    return add


def subjects(families: list[str]) -> list[Subject]:
    """All of these families."""
    return [subject for family in families for subject in FAMILIES[family]()]


@_family("torch-corpus")
def _torch_corpus() -> Iterator[Subject]:
    from tests.corpus.torch_models import corpus

    for entry in corpus.entries:
        yield Subject("torch-corpus", entry.name, entry.build, NOT_IN_KERAS.get(entry.name, ""))


@_family("torch-sound")
def _torch_sound() -> Iterator[Subject]:
    from benchmarks.soundness import torch_models

    return _with_examples("torch-sound", torch_models.MODELS)


@_family("torch-usual")
def _torch_usual() -> Iterator[Subject]:
    from benchmarks.port import usual

    return _with_examples("torch-usual", usual.MODELS)


@_family("torch-families")
def _torch_families() -> Iterator[Subject]:
    from benchmarks.port import families

    return _with_examples("torch-families", families.MODELS)


@_family("transformers")
def _transformers() -> Iterator[Subject]:
    from benchmarks.sweeps import transformers_models

    for name in ENCODERS:
        yield Subject("transformers", name, _described(transformers_models, name))


@_family("transformers-others")
def _transformers_others() -> Iterator[Subject]:
    from benchmarks.port import more_encoders
    from benchmarks.sweeps import transformers_models

    for name in OTHERS:
        yield Subject("transformers-others", name, _described(transformers_models, name))
    for name in more_encoders.MODELS:
        yield Subject("transformers-others", name, _described(more_encoders, name))


@_family("keras-corpus")
def _keras_corpus() -> Iterator[Subject]:
    from tests.corpus.keras_models import corpus

    for entry in corpus.entries:
        yield _to_torch("keras-corpus", entry.name, entry.build, NOT_IN_TORCH.get(entry.name, ""))


@_family("keras-sound")
def _keras_sound() -> Iterator[Subject]:
    from benchmarks.soundness import keras_models

    for name, build in keras_models.MODELS.items():
        yield _to_torch("keras-sound", name, build)


@_family("keras-usual")
def _keras_usual() -> Iterator[Subject]:
    from benchmarks.port import keras_usual

    for name, build in keras_usual.MODELS.items():
        yield _to_torch("keras-usual", name, build)


@_family("keras-families")
def _keras_families() -> Iterator[Subject]:
    from benchmarks.port import keras_families

    for name, build in keras_families.MODELS.items():
        yield _to_torch("keras-families", name, build)


@_family("keras-applications")
def _keras_applications() -> Iterator[Subject]:
    from benchmarks.port import applications

    for name in applications.ARCHITECTURES:
        yield _to_torch("keras-applications", name, lambda name=name: (applications.build(name), {}))


@_family("onnx-torch")
def _onnx_torch() -> Iterator[Subject]:
    return _files("onnx-torch", "pytorch")


@_family("onnx-keras")
def _onnx_keras() -> Iterator[Subject]:
    return _files("onnx-keras", "tensorflow")


def _to_torch(family: str, name: str, build: Callable[[], Built], unwritable: str = "") -> Subject:
    return Subject(family, name, build, unwritable, "tensorflow", "pytorch")


def _files(family: str, to: To) -> Iterator[Subject]:
    """What `export` makes of the corpus's torch models that can be written."""
    from tests.corpus.torch_models import corpus

    for entry in corpus.entries:
        if entry.name not in NOT_IN_KERAS and not entry.refused:
            yield Subject(family, entry.name, _as_file(entry.build), framework="onnx", to=to)


def _as_file(build: Callable[[], Built]) -> Callable[[], Built]:
    def built() -> Built:
        module, given = build()
        source = Source(reference="nets:build", name="net", framework="pytorch", network=module.eval(), **given)
        network = wrap(source)
        with TemporaryDirectory() as folder:
            return network.convert(Path(folder)), {"samples": network.examples(16) or {}}

    return built


def _with_examples(family: str, models: Mapping[str, Callable[[], tuple[Any, Any]]]) -> Iterator[Subject]:
    """Of builders that give a model and its example."""
    for name, build in models.items():
        yield Subject(family, name, _with_example(build))


def _with_example(build: Callable[[], tuple[Any, Any]]) -> Callable[[], Built]:
    def built() -> Built:
        model, example = build()
        return model, {"example_inputs": example}

    return built


def _described(models: Any, name: str) -> Callable[[], Built]:
    def built() -> Built:
        module, example = models.build(name)
        known: dict[str, Any] = {"example_inputs": example}
        shape = ",".join(map(str, example["pixel_values"].shape[1:])) if "pixel_values" in example else ""
        images = (f"pixel_values:float32[batch,{shape}]",) if shape else ()
        specs = _OF_ONE_LENGTH.get(name) or models.MODELS[name].inputs or images
        if specs:
            known["network_inputs"] = [parse_spec(spec) for spec in specs]
        return module, known

    return built
