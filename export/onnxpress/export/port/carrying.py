"""A source carried to the other framework: traced, written, proven, and only then put where it was asked for."""

from __future__ import annotations

import keyword
import math
import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from onnxpress.core.errors import NotEquivalent, UsageError
from onnxpress.core.files import write_together
from onnxpress.core.indented_json import indented
from onnxpress.core.optional import require
from onnxpress.core.progress import step
from onnxpress.export.port.code import identifier
from onnxpress.export.port.proof.answers import Answer
from onnxpress.export.port.proof.round_trip import NOT_ASKED, UNPROVEN, WrittenKeras, WrittenTorch, round_trip
from onnxpress.export.port.proof.rung import Rung
from onnxpress.export.port.refusal import NoCorrespondence
from onnxpress.export.source import Source
from onnxpress.export.sources.import_talk import import_talk

if TYPE_CHECKING:
    from onnxpress.export.port.draft import Draft
    from onnxpress.export.port.keras_draft import KerasDraft
    from onnxpress.export.port.onnx_draft import OnnxDraft
    from onnxpress.export.port.proof.keras_target import KerasTarget
    from onnxpress.export.port.proof.torch_target import TorchTarget

To = Literal["pytorch", "tensorflow"]


class PortReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was carried, and what was proven of it."""

    source: str
    to: To
    inputs: dict[str, list[int]]
    """for each input, which of the source's axes lies at each place"""
    outputs: dict[str, list[int]]
    transposes: int
    """that remain in the code"""
    rungs: list[Rung]
    accepted: str | None = None
    """why it was written although a rung failed"""

    @property
    def proven(self) -> bool:
        """Whether every rung that was asked holds."""
        return all(rung.holds is not False for rung in self.rungs)


@dataclass(frozen=True)
class Ported:
    """The written files and the evidence."""

    code: Path
    weights: Path
    report: PortReport


def carry(
    source: Source,
    *,
    to: To,
    output: Path,
    accept_refusal: str | None = None,
    keep: bool = False,
    returns: bool = False,
) -> Ported:
    """Write the model of `source` as code of framework `to` at `output`, its weights and report beside it.

    With `keep` inputs and answers have the source's order of axes. With `returns` what was written is exported to ONNX,
    and ported back to the source's framework, and both must answer the same: the fifth rung.

    Raises NoCorrespondence for what the table has no row for, with its line; NotEquivalent where a rung of the proof
    fails and nobody accepts it. Nothing is written then.
    """
    _refuse_unwritable(output)
    require("ruff", needed_by="port")  # to form the code
    if source.framework == to:
        raise UsageError(f"this model is in {to} already", where=source.reference)
    if source.framework == "sklearn":
        raise NoCorrespondence(
            f"an estimator of scikit-learn cannot be carried to {to}",
            where=source.reference,
            hint="a torch module, a Keras model, an .onnx file and a run of onnxpress's families can be carried",
        )
    weights = output.with_suffix(".weights.h5" if to == "tensorflow" else ".safetensors")
    with tempfile.TemporaryDirectory(prefix="onnxpress-port-") as folder:
        draft = Path(folder) / output.name
        if source.framework == "onnx":
            of_file = _onnx_to_keras if to == "tensorflow" else _onnx_to_torch
            report = of_file(source, draft, weights.name, keep=keep, returns=returns)
        elif to == "tensorflow":
            report = _torch_to_keras(source, draft, weights.name, keep=keep, returns=returns)
        else:
            report = _keras_to_torch(source, draft, weights.name, keep=keep, returns=returns)
        if not report.proven:
            failed = next(rung for rung in report.rungs if rung.holds is False)
            if accept_refusal is None:
                raise NotEquivalent(
                    f"the port fails on {failed.name}: {failed.detail}"
                    + (f", {failed.worst:.3g} where {failed.limit:g} is accepted" if failed.worst is not None else ""),
                    where=source.reference,
                    hint="nothing was written; --accept-refusal REASON writes it all the same",
                )
            report = msgspec.structs.replace(report, accepted=accept_refusal)
        output.parent.mkdir(parents=True, exist_ok=True)
        write_together(
            {
                weights: draft.with_name(weights.name).read_bytes(),
                output.with_suffix(".port.json"): indented(msgspec.to_builtins(report)),
                output: draft.read_bytes(),
            }
        )
    return Ported(output, weights, report)


def _refuse_unwritable(output: Path) -> None:
    """Before a minute is spent on a proof. Raises UsageError where no module can be written at `output`."""
    if output.suffix != ".py":
        raise UsageError("the output is a module of Python", where=str(output), hint="give a name that ends in .py")
    if not output.stem.isidentifier() or keyword.iskeyword(output.stem):
        hint = f"{identifier(output.stem)}.py"
        raise UsageError("no module of this name can be imported", where=str(output), hint=hint)
    if output.is_dir():
        raise UsageError("this is a folder", where=str(output), hint="name the module to write in it")
    there = next(path for path in output.absolute().parents if path.exists())
    if not there.is_dir():
        raise UsageError("this is a file, and the module's folder is wanted", where=str(there))
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError("this folder cannot be written to", where=str(there), hint="name another --output")


def _torch_to_keras(source: Source, path: Path, weights_name: str, *, keep: bool, returns: bool) -> PortReport:
    _import_keras()
    from onnxpress.export.port.draft import Draft

    with step("following the source and writing its code"):
        draft = Draft(source, weights_name, keep=keep)

    def prove(target: KerasTarget) -> list[Rung]:
        rungs = _asked(source, draft.rungs(target))
        return _and_back(
            rungs,
            returns,
            lambda: round_trip(draft.network, WrittenKeras(target), draft.asked, _keras_back, draft.network.near()),
        )

    return _as_keras(source, path, weights_name, draft, prove)


def _and_back(rungs: list[Rung], returns: bool, trip: Callable[[], Rung]) -> list[Rung]:
    """These and the fifth, if it is asked for and nothing failed before."""
    if not returns:
        return [*rungs, NOT_ASKED]
    if any(rung.holds is False for rung in rungs):
        return [*rungs, UNPROVEN]
    with step("proving the round trip"):
        return [*rungs, trip()]


def _keras_back(source: Source, path: Path) -> tuple[list[str], Answer]:
    """The port of a written Keras model to torch: the names of its inputs, and its answer."""
    from onnxpress.export.port.keras_draft import KerasDraft

    draft = KerasDraft(source, "ported_back.safetensors")
    path.write_text(draft.code.text)
    return [spec.name for spec in draft.network.inputs], draft.target(path).answer


def _torch_back(source: Source, path: Path) -> tuple[list[str], Answer]:
    """The port of a written torch module to Keras: the names of its inputs, and its answer."""
    from onnxpress.export.port.draft import Draft

    draft = Draft(source, "ported_back.weights.h5")
    path.write_text(draft.code.text)
    return [spec.name for spec in draft.network.inputs], draft.target(path).answer


def _onnx_to_keras(source: Source, path: Path, weights_name: str, *, keep: bool, returns: bool) -> PortReport:
    _import_keras()
    from onnxpress.export.port.onnx_draft import OnnxKerasDraft

    with step("following the source and writing its code"):
        draft = OnnxKerasDraft(source, weights_name, path.parent, keep=keep)

    def prove(target: KerasTarget) -> list[Rung]:
        rungs = _asked(source, draft.rungs(target))
        written = WrittenKeras(target, draft.arguments, draft.output_names)
        return _and_back(rungs, returns, lambda: round_trip(draft.original, written, draft.asked, None))

    report = _as_keras(source, path, weights_name, draft.draft, prove)
    return msgspec.structs.replace(
        report,
        inputs={draft.input_names[argument]: perm for argument, perm in report.inputs.items()},
        outputs=dict(zip(draft.output_names, report.outputs.values(), strict=True)),
    )


def _as_keras(
    source: Source, path: Path, weights_name: str, draft: Draft, prove: Callable[[KerasTarget], list[Rung]]
) -> PortReport:
    """Write the draft's code at `path` and its weights beside it, and prove it."""
    path.write_text(draft.code.text)
    target = draft.target(path)
    rungs = prove(target)
    target.model().save_weights(path.with_name(weights_name))
    return PortReport(
        source=source.reference,
        to="tensorflow",
        inputs={spec.name: list(perm) for spec, perm in zip(draft.specs, draft.code.inputs, strict=True)},
        outputs={n: list(perm) for n, perm in zip(draft.network.output_names, target.perms(), strict=True)},
        transposes=draft.code.transposes,
        rungs=rungs,
    )


def _import_keras() -> None:
    with step("importing keras and tensorflow"), import_talk():
        import keras  # noqa: F401 - both talk at their import
        import tensorflow  # noqa: F401


def _keras_to_torch(source: Source, path: Path, weights_name: str, *, keep: bool, returns: bool) -> PortReport:
    _import_keras()
    from onnxpress.export.port.keras_draft import KerasDraft

    with step("following the source and writing its code"):
        draft = KerasDraft(source, weights_name, keep=keep)

    def trip(target: TorchTarget) -> Rung:
        written = WrittenTorch(target, draft.as_taken(), draft.asked[0].feeds)
        return round_trip(draft.asked_of, written, draft.asked, _torch_back)

    transposes = draft.translated.transposes
    return _as_torch(source, path, weights_name, draft, transposes=transposes, trip=trip, returns=returns)


def _onnx_to_torch(source: Source, path: Path, weights_name: str, *, keep: bool, returns: bool) -> PortReport:
    from onnxpress.export.port.onnx_draft import OnnxDraft

    with step("following the source and writing its code"):
        draft = OnnxDraft(source, weights_name)  # whose axes are the file's own: a layout that is kept is the only one

    def trip(target: TorchTarget) -> Rung:
        return round_trip(draft.original, WrittenTorch(target, draft.specs, draft.asked[0].feeds), draft.asked, None)

    return _as_torch(source, path, weights_name, draft, transposes=0, trip=trip, returns=returns)


def _as_torch(
    source: Source,
    path: Path,
    weights_name: str,
    draft: KerasDraft | OnnxDraft,
    *,
    transposes: int,
    trip: Callable[[TorchTarget], Rung],
    returns: bool,
) -> PortReport:
    """Write the draft's code at `path` and its weights beside it, and prove it."""
    from safetensors.torch import save_model

    path.write_text(draft.code.text)
    target = draft.target(path)
    rungs = _and_back(_asked(source, draft.rungs(target)), returns, lambda: trip(target))
    save_model(target.model(), str(path.with_name(weights_name)))
    return PortReport(
        source=source.reference,
        to="pytorch",
        inputs={name: list(perm) for name, perm in zip(target.names, target.layouts, strict=True)},
        outputs={name: list(perm) for name, _, perm in target.outputs},
        transposes=transposes,
        rungs=rungs,
    )


def _asked(source: Source, rungs: Iterable[Rung]) -> list[Rung]:
    """All rungs. Raises NotEquivalent where the code does not run, or answers something else altogether."""
    proof = iter(rungs)
    found = []
    for name in ("answers", "parameters", "gradients", "training"):
        with step(f"proving {name}"):
            found.append(next(proof))
    if found[0].worst == math.inf:
        raise NotEquivalent(
            f"the port fails on answers: {found[0].detail}", where=source.reference, hint="nothing was written"
        )
    return found
