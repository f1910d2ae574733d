"""Rung 5: the written model exported to ONNX, and ported back; both must answer as the source does."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from onnxpress.core.arrays import Array
from onnxpress.core.errors import OnnxpressError
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.equivalence.cases import Case
from onnxpress.export.pipeline.export import export
from onnxpress.export.port.proof.answers import Answer, Asked, answers_or_failure
from onnxpress.export.port.proof.keras_target import KerasTarget
from onnxpress.export.port.proof.rung import Rung
from onnxpress.export.port.proof.torch_target import TorchTarget
from onnxpress.export.port.refusal import NoCorrespondence
from onnxpress.export.source import Source, SourceRef
from onnxpress.export.sources.resolve import from_object
from onnxpress.serving.engine import Engine

NOT_ASKED = Rung(name="round trip", holds=None, detail="--round-trip exports it to ONNX again, and ports it back")
UNPROVEN = Rung(name="round trip", holds=None, detail="a rung before it fails")
_NAME = "the written model"

PortedBack = Callable[[Source, Path], tuple[list[str], Answer]]
"""(the written model, where its code may go) → the names of its inputs, and what its port answers"""


def round_trip(
    original: Asked, written: Written, asked: Sequence[Case], back: PortedBack | None, near: Sequence[Asked] = ()
) -> Rung:
    """The first rung's questions, asked of the exported graph and, where there is a way `back`, of the port of it."""
    source = written.source()
    with tempfile.TemporaryDirectory(prefix="onnxpress-round-trip-") as folder:
        by_file = _by_file(original, written, asked, source, Path(folder), near)
        if back is None or not by_file.holds:
            return by_file
        try:
            names, answer = back(source, Path(folder) / "ported_back.py")
        except NoCorrespondence as error:
            where = f"{error.where}: " if error.where else ""
            return _failed(f"by ONNX it answers the same, but it cannot be ported back: {where}{error.what}")
        found = answers_or_failure(original, written.by_name(names, answer), asked, near)
    worse = max(by_file, found, key=lambda rung: rung.worst or 0.0)
    detail = f"{by_file.detail}; ported back, {found.detail}"
    return msgspec.structs.replace(worse, name="round trip", detail=detail)


def _by_file(
    original: Asked, written: Written, asked: Sequence[Case], source: Source, folder: Path, near: Sequence[Asked]
) -> Rung:
    try:
        published = export(source, repository=folder)
    except OnnxpressError as error:
        said = ", ".join(error.what.splitlines()[:2])  # of a refused one the second says how far it is off
        return _failed(f"the written model cannot be exported: {said}")
    engine = Engine.load(published.folder / "model.onnx")
    try:
        rung = answers_or_failure(original, written.by_name(written.names(), engine.run), asked, near)
    finally:
        engine.close()
    return msgspec.structs.replace(rung, name="round trip", detail=f"by ONNX, {rung.detail}")


def _failed(said: str) -> Rung:
    return Rung(name="round trip", holds=False, detail=said)


class WrittenKeras:
    """The written Keras model, and how what comes of it answers for the source.

    `renamed` says what the source's inputs and answers are called where the model was written from another that was
    written before.
    """

    def __init__(
        self, target: KerasTarget, arguments: dict[str, str] | None = None, outputs: Sequence[str] | None = None
    ) -> None:
        self._target, self._arguments, self._outputs = target, arguments, outputs

    def source(self) -> Source:
        """As `export` and `port` take it."""
        return Source(reference=_NAME, name="ported", framework="tensorflow", network=self._target.model())

    def names(self) -> list[str]:
        """Of its inputs, in the order in which they are given."""
        return [str(tensor.name) for tensor in self._target.model().inputs]

    def by_name(self, names: Sequence[str], answer: Answer) -> Answer:
        """What answers as the written model does, as what answers as the source does."""

        def answered(feeds: dict[str, Array]) -> dict[str, Array]:
            given = {self._arguments[n]: v for n, v in feeds.items()} if self._arguments else feeds
            found = answer(dict(zip(names, self._target.inputs(given), strict=True)))
            named = self._target.named(self._in_order(found))
            return dict(zip(self._outputs, named.values(), strict=True)) if self._outputs else named

        return answered

    def _in_order(self, found: dict[str, Array]) -> list[Any]:
        """In the order in which the written model gives its answers: of a dict in that of its keys."""
        structure = getattr(self._target.model(), "_outputs_struct", None)
        if isinstance(structure, dict) and set(structure) == set(found):
            return [found[name] for name in structure]
        return list(found.values())


class WrittenTorch:
    """The written torch module, and how what comes of it answers for the source.

    `specs` are its inputs as it takes them, `rows` examples of the source's.
    """

    def __init__(self, target: TorchTarget, specs: Sequence[TensorSpec], rows: dict[str, Array]) -> None:
        import inspect

        self._target = target
        arguments = list(inspect.signature(target.model().forward).parameters)
        self._specs = [msgspec.structs.replace(s, name=a) for s, a in zip(specs, arguments, strict=True)]
        given = zip(self.names(), target.inputs(rows), strict=True)
        self._rows = {name: tensor.numpy() for name, tensor in given}

    def source(self) -> Source:
        """As `export` and `port` take it."""
        ref = SourceRef(reference=_NAME, inputs=list(self._specs))
        return from_object(self._target.model(), "ported", ref, self._rows)

    def names(self) -> list[str]:
        """Of its inputs, in the order in which they are given."""
        return [spec.name for spec in self._specs]

    def by_name(self, names: Sequence[str], answer: Answer) -> Answer:
        """What answers as the written module does, as what answers as the source does."""

        def answered(feeds: dict[str, Array]) -> dict[str, Array]:
            tensors = self._target.inputs(feeds)
            found = answer({name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True)})
            return self._target.named(list(found.values()), tensors)

        return answered


Written = WrittenKeras | WrittenTorch
