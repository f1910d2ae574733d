"""One candidate made, asked, timed and held against the gate."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from onnxpress.core import golden
from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadModel, OnnxpressError
from onnxpress.core.manifest import SessionSettings
from onnxpress.core.rows import Dependent, Proven
from onnxpress.export.derive import judging, parent, speed
from onnxpress.export.derive.candidates import Candidate
from onnxpress.export.derive.choices import Kind
from onnxpress.export.derive.figures import Timing, Tried
from onnxpress.export.derive.gate import Gate
from onnxpress.export.derive.parent import Parent
from onnxpress.export.derive.resampling import Metric
from onnxpress.export.equivalence.independence import proof_of
from onnxpress.export.equivalence.runtime import survival
from onnxpress.export.graph.opset import MAX_IR_VERSION
from onnxpress.serving.engine import Engine

if TYPE_CHECKING:
    import onnx


NOTHING = "there is nothing in this graph that it could change"


@dataclass(frozen=True, eq=False)
class Questions:
    """What every candidate is asked, and what its parent said."""

    parent: Parent
    rows: Mapping[str, Array]
    """held out: no candidate was calibrated with them"""
    answers: Mapping[str, Array]
    kinds: Mapping[str, Kind]
    labels: Mapping[str, Array]
    batches: list[int]
    seconds: float = 1.0
    """for each batch that is timed"""

    @property
    def count(self) -> int:
        """Of the rows."""
        return len(next(iter(self.rows.values())))

    def metrics(self, answers: Mapping[str, Array]) -> list[Metric]:
        """Of these answers against the parent's, where there are labels."""
        manifest = self.parent.manifest
        return judging.metrics(self.answers, answers, self.kinds, self.labels, manifest.labels, manifest.thresholds)


@dataclass(frozen=True, eq=False)
class Made:
    """A candidate that could be made and asked."""

    candidate: Candidate
    graph: onnx.ModelProto
    session: SessionSettings
    engine: Engine
    proof: Proven | Dependent
    answers: Mapping[str, Array] = field(default_factory=dict)

    @property
    def together(self) -> bool:
        """Whether its rows may share a run while it is judged."""
        return not (isinstance(self.proof, Dependent) and self.proof.definite)


def attempt(questions: Questions, candidate: Candidate, gate: Gate, precision: str) -> tuple[Tried, Made | None]:
    """Make a candidate and measure it. What goes wrong on the way is told in `Tried.failed`, and ends nothing else."""
    tried = Tried(precision=precision, method=candidate.method, kept_float=candidate.kept)
    try:
        graph = candidate.make()
        if graph is None:
            return msgspec.structs.replace(tried, failed=NOTHING), None
        graph = finished(graph, questions.parent.graph)
        _survived(questions, candidate, graph)
        made = loaded(questions.parent, candidate, graph)
        made = replace(made, answers=asked(questions, made))
        return _measured(questions, made, gate, tried), made
    except OnnxpressError as error:
        return msgspec.structs.replace(tried, failed=error.what), None
    except Exception as error:  # the quantizers raise whatever numpy, onnx and their own asserts do
        why = " ".join(str(error).split())[:200]
        return msgspec.structs.replace(tried, failed=f"it could not be made: {type(error).__name__}: {why}"), None


def finished(graph: onnx.ModelProto, original: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with its parent's signature, labels and contract, and nothing of the tools that made it."""
    import onnx

    inner = graph.graph
    del inner.value_info[:], inner.metadata_props[:], graph.metadata_props[:]
    graph.metadata_props.extend(original.metadata_props)
    for mine, theirs in ((inner.input, original.graph.input), (inner.output, original.graph.output)):
        del mine[:]
        mine.extend(theirs)
    inner.name, inner.doc_string, graph.doc_string = original.graph.name, "", ""
    graph.producer_name, graph.producer_version = "onnxpress", ""
    graph.ir_version = min(max(graph.ir_version, original.ir_version), MAX_IR_VERSION)
    onnx.checker.check_model(graph)
    return graph


def loaded(origin: Parent, candidate: Candidate, graph: onnx.ModelProto) -> Made:
    """The candidate in the engine that would serve it."""
    content = graph.SerializeToString(deterministic=True)
    engine = Engine.load(content, settings=candidate.session, self_test=False)
    engine.inputs, engine.outputs = origin.engine.inputs, origin.engine.outputs
    engine.output_names = [spec.name for spec in engine.outputs]
    return Made(candidate, graph, candidate.session, engine, proof_of(content))


def _survived(questions: Questions, candidate: Candidate, graph: onnx.ModelProto) -> None:
    """Raise BadModel where the runtime would take this process with it, rather than refuse the graph."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "candidate.onnx"
        file.write_bytes(graph.SerializeToString(deterministic=True))
        first = {name: value[:1] for name, value in questions.rows.items()}
        if died := survival.death(file, candidate.session, first, Path(folder)):
            raise BadModel(f"ONNX Runtime {died} of this graph", where=candidate.method)


def asked(questions: Questions, made: Made, count: int | None = None) -> dict[str, Array]:
    """Its answers to the held-out rows, or the first of them; alone where rows look at each other."""
    rows = {name: value[:count] for name, value in questions.rows.items()}
    return parent.answers(made.engine, rows, together=questions.parent.manifest.batch_safe and made.together)


def _measured(questions: Questions, made: Made, gate: Gate, tried: Tried) -> Tried:
    origin = questions.parent
    size = made.graph.ByteSize()
    smaller = origin.bytes / size
    outputs = judging.judge(
        questions.answers,
        made.answers,
        questions.kinds,
        floors=origin.floors,
        thresholds=origin.manifest.thresholds,
        labels=questions.labels,
    )
    metrics = questions.metrics(made.answers)
    timings = speed.at_batches(origin.engine, made.engine, questions.rows, questions.batches, seconds=questions.seconds)
    refused = [*gate.quality(outputs, metrics, questions.count), *gate.gain(smaller, timings)]
    if not refused:
        timings = _again(questions, made, timings)
        refused = gate.gain(smaller, timings)
    if tried.precision == "same":
        far = farthest(origin, made.engine)
        if not far <= golden.LIMIT:
            refused.append(f"{far:.3g} noise floors from its parent, {golden.LIMIT:g} are accepted")
    return msgspec.structs.replace(
        tried, bytes=size, smaller=smaller, timings=timings, outputs=outputs, metrics=metrics, refused=refused
    )


def _again(questions: Questions, made: Made, timings: Mapping[int, Timing]) -> dict[int, Timing]:
    """Both loaded anew, the derived version first, and timed once more: of each batch the lesser ratio.

    Where a session's memory came to lie makes some of the difference, and belongs to neither version.
    """
    content = made.graph.SerializeToString(deterministic=True)
    derived = Engine.load(content, settings=made.session, self_test=False)
    origin = Engine.load(questions.parent.path, self_test=False)
    second = speed.at_batches(origin, derived, questions.rows, questions.batches, seconds=questions.seconds)
    return {batch: min(timings[batch], second[batch], key=lambda one: one.quicker) for batch in timings}


def multiples_of(origin: Parent, engine: Engine) -> list[dict[str, float]]:
    """Of each of the parent's golden samples, output → how far from the original it is, in noise floors."""
    return [golden.worst_multiple(case, engine.run(case.inputs)) for case in origin.goldens]


def largest(multiples: Sequence[Mapping[str, float]]) -> float:
    """The largest of all."""
    return max((value for case in multiples for value in case.values()), default=0.0)


def farthest(origin: Parent, engine: Engine) -> float:
    """How far from the original it is on the parent's golden samples, in noise floors."""
    return largest(multiples_of(origin, engine))
