"""`manifest.json`: what a published version is, what it accepts and answers, and what was measured of it."""

from __future__ import annotations

from typing import Literal

import msgspec

from onnxpress.core import decoders
from onnxpress.core.errors import CorruptVersion
from onnxpress.core.tensors import TensorSpec

FORMAT = 1
FILE_NAME = "manifest.json"
MOST_BYTES = 16 << 20
"""of a manifest; the labels of a hundred thousand classes have two million"""


class SessionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The ONNX Runtime session options under which the model was measured; the engine serves with the same."""

    optimization: Literal["none", "basic", "extended", "all"] = "all"
    disabled_optimizers: list[str] = []
    config: dict[str, str] = {}
    tf32: bool = False
    """whether a GPU may multiply float32 with 10 bits of mantissa; only where the model was measured so"""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where the version came from: how it was named, its framework, and the seed of its training if known."""

    reference: str
    framework: str
    framework_version: str
    converter: str
    parameters: int | None = None
    seed: int | None = None


class PowerSummary(msgspec.Struct, frozen=True, kw_only=True):
    """How many small faults, planted in this very graph, the measurement's questions show; `told` is the sentence."""

    told: str
    planted: int
    shown: int


class EquivalenceSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict of `equivalence.json`: the worst error of any output, in noise floors, against the accepted limit."""

    power: PowerSummary | None = None
    """None of a refused export, and in older manifests"""
    equivalent: bool
    worst_multiple: float | None
    """null for infinity, which only a refused export has"""
    limit: float
    floor: str
    accepted: str = ""
    """why a refused version was published all the same, in its author's words; empty for every other"""


class Derived(msgspec.Struct, frozen=True, kw_only=True):
    """A version in fewer bits: which one it was made of, how, and what was measured of it against that parent."""

    version: int
    """of the parent, a version of the same model"""
    sha256: str
    """of the parent's model file"""
    precision: str
    """`int8`, `float16`, `bfloat16`, `w8`, `w4` or `same`"""
    method: str
    told: str
    """the sentence that stands wherever the version is shown"""
    rows: int
    """held-out rows that both were asked"""
    decisions: int = 0
    flips: int = 0
    """decisions that differ and are no near-ties of the parent's"""
    near_ties: int = 0
    bound: float | None = None
    """no more than this share of decisions differs, with 95 % confidence; None where there are none to take"""
    smaller: float
    """the parent's model file over this one, in bytes"""
    quicker: dict[str, float] = {}
    """rows in a batch → the parent's time over this one's, on the machine that derived it"""
    kept_float: list[str] = []
    """nodes that were left as they are"""
    processor: list[str] = []
    """what the machine that derived it has, of `onnxpress.core.processor`"""
    fused: dict[str, float] = {}
    """output → root mean square between the fused and the unfused graph on the golden samples, in floors"""


class FileDigest(msgspec.Struct, frozen=True, kw_only=True):
    """Size in bytes and SHA-256 (lower-case hex) of one file of the version."""

    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """One published version. Unknown fields are ignored on reading, so that newer writers stay readable."""

    format: int = FORMAT
    name: str
    version: int = 0
    created: str
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]
    labels: dict[str, list[str]] = {}
    """output name → the label of each class or value, in order"""
    thresholds: dict[str, float] = {}
    """output name → the threshold that it was decided with"""
    batch_safe: bool = False
    """whether a row's answer was measured to be the same alone and in a batch; the server batches only then"""
    rows: str = ""
    """how that is known: `proven` over the graph, `measured` only, or `dependent (node)`; empty in older manifests"""
    rows_together: int = 0
    """the most rows that were measured in one batch; 0 in older manifests"""
    no_rows: bool = False
    """whether a batch of no rows was measured to be answered; ONNX Runtime dies of one in a recurrent layer"""
    opset: int
    ir_version: int
    session: SessionSettings = SessionSettings()
    equivalence: EquivalenceSummary
    source: Source
    derived_from: Derived | None = None
    """of a version in fewer bits; its `equivalence` is the distance from the parent, its goldens are its own answers"""
    versions: dict[str, str] = {}
    """package name → version at the time of export"""
    files: dict[str, FileDigest] = {}
    """every file of the version but the manifest itself"""


def most_together(manifest: Manifest | None) -> int | None:
    """Rows that may share a run at most: as many as were measured in one batch, where nothing proves it of any number.

    None where any number may, or where a manifest is too old to say.
    """
    return manifest.rows_together or None if manifest is not None and manifest.rows == "measured" else None


class _Format(msgspec.Struct):
    format: int


def encode(manifest: Manifest) -> bytes:
    """The manifest as indented JSON."""
    from onnxpress.core.indented_json import indented  # not for a server, which writes none

    return indented(manifest)


def decode(content: bytes, *, where: str) -> Manifest:
    """Read a manifest. Raises CorruptVersion naming the field that is wrong, or a format newer than this program."""
    try:
        # The format first: a newer one may lack or change any other field.
        written: int = decoders.of_json(_Format).decode(content).format
        if written > FORMAT:
            raise CorruptVersion(
                f"the manifest has format {written}, this onnxpress reads up to {FORMAT}",
                where=where,
                hint="upgrade onnxpress",
            )
        manifest: Manifest = decoders.of_json(Manifest).decode(content)
        return manifest
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise CorruptVersion(f"the manifest cannot be read: {error}", where=where, hint="export it again") from None
