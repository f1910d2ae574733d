"""The sound exports that faults are planted in: families and corpus models, converted once by the project itself."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import pickle
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from onnxpress.core.arrays import Array
from onnxpress.core.tensors import TensorSpec, parse_spec
from onnxpress.export.equivalence.answerable import answerable
from onnxpress.export.equivalence.cases import cases, generate, largest_batch
from onnxpress.export.equivalence.extremes import extremes
from onnxpress.export.equivalence.graph_domain import shown
from onnxpress.export.equivalence.reference import Reference
from onnxpress.export.network import Precision
from onnxpress.export.pipeline.convert import convert
from onnxpress.export.pipeline.prepare import Prepared, prepare
from onnxpress.export.source import Framework, Source

BUILD = Path(__file__).parent.parent.parent / "build" / "faults"

# Corpus models with something to plant in: weights, axes, norms, recurrent gates, casts, tables, labels.
TORCH = [
    "gelu_in_both_forms",
    "norms_over_layers_groups_and_instances",
    "convolutions_grouped_dilated_and_transposed",
    "zero_padding_before_max_pooling",
    "adaptive_pooling",
    "tied_embedding",
    "lstm_stacked_and_bidirectional",
    "gru_stacked_and_bidirectional",
    "plain_rnn",
    "lstm_with_its_states",
    "attention_with_a_padding_mask",
    "transformer_layer_over_any_length",
    "causal_attention_over_any_length",
    "gather_and_scatter",
    "sort_topk_and_cumsum",
    "uint8_image",
    "reshape_by_size",
]
KERAS = [
    "gelu_becomes_erfc",
    "normalization_whose_constants_leak",
    "grouped_convolution",
    "string_lookup",
    "batch_norm_and_dropout",
    "separable_and_transposed_convolutions",
    "mixed_float16",
    "gru_over_any_length",
    "attention",
    "lstm_behind_a_mask",
]
SKLEARN = [
    "logistic_regression",
    "forest_with_string_labels",
    "gradient_boosting",
    "perceptron",
    "string_and_numeric_columns",
    "isolation_forest_with_scores",
]
Build = Callable[[], tuple[Any, dict[str, Any]]]


@dataclass(frozen=True)
class Subject:
    """A sound export: what the stage prepared, its graph, and its outputs."""

    name: str
    prepared: Prepared
    proto: onnx.ModelProto
    outputs: list[TensorSpec]
    shown: dict[str, Array]
    """good examples, whatever the checkers are given"""
    examples: str
    """what they are given: `good`, or a kind of poor ones"""


POOR = ("zeros", "ones", "one row", "none")
"""examples that say names, types and sizes, and nothing of the values"""


def _given(kind: str, good: dict[str, Array]) -> dict[str, Array]:
    """Examples of one kind, made of the good ones."""
    if kind == "none":
        return {}
    if kind == "one row":
        return {name: value[:1] for name, value in good.items()}
    if kind == "good":
        return good
    blank: dict[str, Any] = {"zeros": ("", 0), "ones": ("1", 1)}
    return {
        name: np.full(value.shape, blank[kind][0 if value.dtype.kind in "OU" else 1], value.dtype)
        for name, value in good.items()
    }


def _asked(prepared: Prepared, graph: onnx.ModelProto, samples: dict[str, Array]) -> Prepared:
    """`prepared` as the export stage would have it with these examples alone."""
    parameters = sum(value.size for value in prepared.network.parameters().values())
    largest = largest_batch(parameters, prepared.network.inputs, samples)
    known = shown(graph)
    chosen = cases(prepared.inputs, samples, largest=largest, shown=known)
    chosen += extremes(graph, prepared.inputs, samples, known)
    chosen, _ = answerable(prepared.reference, chosen, prepared.inputs)
    return replace(prepared, samples=samples, cases=chosen)


class Remembering(Reference):
    """A reference that answers the same feeds from memory: the framework is the slow part, and never changes."""

    def __init__(self, reference: Reference) -> None:
        super().__init__(reference.network, reference.processing, reference.inputs)
        self._known: dict[tuple[str, str], dict[str, Any]] = {}

    def run(self, feeds: dict[str, Any], precision: Precision = "float32") -> dict[str, Any]:
        """As Reference.run."""
        content = hashlib.sha256(pickle.dumps(sorted(feeds.items()))).hexdigest()
        if (content, precision) not in self._known:
            self._known[content, precision] = super().run(feeds, precision)
        return self._known[content, precision]


def names(*, everything: bool = False) -> list[str]:
    """The subjects' names; `everything` adds the corpus models that only serve to look for false alarms."""
    return [name for name, _, chosen in _all() if chosen or everything]


def subject(name: str, seed: int, *, poor: bool = False) -> Subject:
    """Build the model with weights drawn from `seed`; convert it, or take the conversion of an earlier run.

    With `poor`, the checkers are given poor examples: the kind changes from model to model and from seed to seed.
    """
    build, framework = next((build, framework) for (other, (build, framework), _) in _all() if other == name)
    _seed(framework, seed)
    network, known = build()
    if framework == "pytorch":
        from benchmarks.faults.torch_families import unsettle

        network = unsettle(network)
    elif framework == "tensorflow":
        from benchmarks.faults import keras_families

        network = keras_families.unsettle(network)
    source = Source(reference=name, name="m", framework=framework, network=network, **known)
    with contextlib.redirect_stderr(io.StringIO()):
        prepared = prepare(source)
        prepared = replace(prepared, reference=Remembering(prepared.reference))
        path = BUILD / "graphs" / f"{name.replace(' ', '-')}-{seed}.onnx"
        described = path.with_suffix(".json")
        if described.exists():
            proto = onnx.load(path)
            outputs = [parse_spec(text) for text in json.loads(described.read_text())]
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            converted = convert(prepared, path.parent)
            proto, outputs = converted.graph, converted.outputs
            onnx.save(proto, path)
            described.write_text(json.dumps([str(spec) for spec in outputs]))
        good = prepared.samples
        if not good:
            generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
            good = generate(prepared.inputs, {}, {"batch": 40}, generator, shown(proto))
        kind = POOR[(zlib.crc32(name.encode()) + seed) % len(POOR)] if poor else "good"
        prepared = _asked(prepared, proto, _given(kind, good))
    return Subject(name, prepared, proto, outputs, good, kind)


def _seed(framework: Framework, seed: int) -> None:
    from tests.corpus import keras_models, sklearn_models

    np.random.seed(seed)
    for corpus in (keras_models, sklearn_models):  # they draw as they are built: the same whatever was built before
        corpus.rng.bit_generator.state = np.random.default_rng(seed).bit_generator.state
    if framework == "pytorch":
        import torch

        torch.manual_seed(seed)
    elif framework == "tensorflow":
        import keras

        keras.utils.clear_session()  # names of layers are counted, and the kept graph has the first ones

        keras.utils.set_random_seed(seed)


def _all() -> Iterator[tuple[str, tuple[Build, Framework], bool]]:
    from tests.corpus import keras_models, sklearn_models, torch_models

    from benchmarks.faults import keras_families, torch_families

    for name, build in torch_families.FAMILIES.items():
        yield name, (build, "pytorch"), True
    yield "cumsum over 10,000", (_long_cumsum, "pytorch"), False
    for name, build in keras_families.FAMILIES.items():
        yield name, (build, "tensorflow"), True
    corpora: list[tuple[str, Framework, Any, list[str]]] = [
        ("torch", "pytorch", torch_models.corpus, TORCH),
        ("Keras", "tensorflow", keras_models.corpus, KERAS),
        ("sklearn", "sklearn", sklearn_models.corpus, SKLEARN),
    ]
    for label, framework, corpus, chosen in corpora:
        for entry in corpus.entries:
            if entry.refused is None:
                yield f"{label} {entry.name}", (entry.build, framework), entry.name in chosen


def _long_cumsum() -> tuple[Any, dict[str, Any]]:
    """torch sums it in float64, the runtime in float32: a sound export that a plain floor refuses at 34 times."""
    from tests.corpus.torch_models import Forward

    return Forward(lambda _, x: x.cumsum(-1)), {"network_inputs": [parse_spec("x:float32[batch,10000]")]}
