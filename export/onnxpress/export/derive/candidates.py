"""What is tried for a precision, in order: each candidate is made only when its turn comes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadModel
from onnxpress.core.manifest import SessionSettings
from onnxpress.core.processor import features
from onnxpress.export.derive import dynamic_int8, equalisation, half, rewriting, slim, weights
from onnxpress.export.derive.parent import Parent
from onnxpress.export.derive.prepared import copied, name_nodes, prepare
from onnxpress.export.derive.static_int8 import NARROW, WIDE, Calibration, StaticInt8

if TYPE_CHECKING:
    import onnx

_Scope = tuple[str, tuple[str, ...], list[str]]
"""its name, the operators that are quantized, and names of nodes of theirs that are not"""
_RANGE_ROWS = 64
"""of the calibration, on which magnitudes are looked at"""


@dataclass(frozen=True, eq=False)
class Static:
    """How a static candidate is quantized."""

    quantizer: StaticInt8
    calibration: Calibration
    operators: tuple[str, ...]
    reduced: bool
    """whether weights have 7 bits"""

    def made(self, *, keep: Collection[str] = (), only: Collection[str] | None = None) -> onnx.ModelProto:
        """The quantized graph; see `StaticInt8.quantized`. Raises BadModel where it is not what its scales say."""
        found = self.quantizer.quantized(
            self.calibration, operators=self.operators, keep=keep, only=only, reduced=self.reduced
        )
        if only is None:
            cut = rewriting.CUT[self.calibration]
            wrong = rewriting.faults(self.quantizer.graph, found, self.quantizer.batches(), cut=cut)
            if wrong:
                raise BadModel(f"the quantizer made a faulty graph: {'; '.join(wrong[:3])}")
        return found


@dataclass(frozen=True, eq=False)
class Alone:
    """How the candidate is made of some of its nodes, all others as they are, to see what each costs."""

    nodes: Callable[[], list[str]]
    """their names"""
    make: Callable[[Collection[str]], onnx.ModelProto | None]
    """of some of these names; None where there is nothing to do in them"""


@dataclass(frozen=True, eq=False)
class Candidate:
    """One way to a precision. `family` is passed over as a whole once its first is not quicker."""

    method: str
    make: Callable[[], onnx.ModelProto | None]
    """None where there is nothing to do in this graph"""
    session: SessionSettings
    family: str = ""
    kept: list[str] = field(default_factory=list)
    fuses: bool = False
    """whether the runtime makes integer kernels of it, which a processor may saturate in"""
    static: Static | None = None
    """how it was quantized, where nodes can be kept in float one by one"""
    alone: Alone | None = None


class Candidates:
    """The candidates of one parent. `keep` are names of nodes that stay in float."""

    def __init__(self, parent: Parent, rows: Mapping[str, Array], keep: list[str]) -> None:
        self._parent, self._rows, self._keep = parent, rows, keep
        self._prepared: onnx.ModelProto | None = None

    @property
    def prepared(self) -> onnx.ModelProto:
        """The parent's graph made ready."""
        if self._prepared is None:
            self._prepared = prepare(self._parent.graph)
        return self._prepared

    def unknown(self) -> list[str]:
        """Names to be kept in float that no node has."""
        there = {node.name for node in self.prepared.graph.node}
        return [name for name in self._keep if name not in there]

    def of(self, precision: str) -> Iterator[Candidate]:
        """Those of one of `choices.PRECISIONS`, the soundest first."""
        return {
            "int8": self._int8,
            "float16": self._float16,
            "bfloat16": self._bfloat16,
            "w8": lambda: self._weights(8, (128, 32)),
            "w4": lambda: self._weights(4, (128, 32, 16)),
            "same": self._same,
        }[precision]()

    def mixed(self, of: Candidate, kept: list[str]) -> Candidate:
        """The same with more nodes in float."""
        assert of.static is not None
        keep = [*of.kept, *kept]
        return replace(
            of,
            method=f"{of.method}, {len(kept)} {'node' if len(kept) == 1 else 'nodes'} in float32",
            make=partial(of.static.made, keep=keep),
            family="mixed",
            kept=keep,
        )

    @property
    def named(self) -> onnx.ModelProto:
        """The parent's own graph, with a name for every node."""
        found = copied(self._parent.graph)
        name_nodes(found)
        return found

    def _few(self) -> dict[str, Array]:
        return {name: value[:_RANGE_ROWS] for name, value in self._rows.items()}

    def _int8(self) -> Iterator[Candidate]:
        together = self._parent.manifest.batch_safe
        plain = StaticInt8(self.prepared, self._rows, together=together)
        kinds = {node.op_type for node in self.prepared.graph.node}
        computed = plain.computed_products()
        scopes: list[_Scope] = [("products", NARROW, [])]
        if computed:
            scopes = [("products with weights", NARROW, computed), *scopes]
        if kinds & {"Conv", "ConvTranspose"}:
            scopes = [("whole chains", WIDE, []), *scopes]
        if plain.nodes(NARROW):
            for scope in scopes:
                yield self._static(plain, "min-max", scope)
            calmed = equalisation.equalised(self.prepared, self._few())
            if calmed is not None:
                even = StaticInt8(calmed, self._rows, together=together)
                name, operators, kept = scopes[0]
                yield self._static(even, "min-max", (f"{name}, equalised", operators, kept))
            for calibration in ("percentile", "entropy"):
                yield self._static(plain, calibration, scopes[0])
            if "vnni" in (features() or ()):
                yield self._static(plain, "min-max", scopes[0], reduced=False)
        if dynamic_int8.offered(self.prepared):
            make = partial(dynamic_int8.quantized, self.prepared)
            yield Candidate(
                "dynamic int8 per channel, reduced range; never batched",
                lambda: make(keep=self._keep),
                self._parent.manifest.session,
                "dynamic",
                self._keep,
                alone=Alone(lambda: dynamic_int8.nodes(self.prepared), self._without_others(make)),
            )

    def _static(
        self, quantizer: StaticInt8, calibration: Calibration, scope: _Scope, *, reduced: bool = True
    ) -> Candidate:
        name, operators, computed = scope
        span = "reduced range" if reduced else "full range"
        static, keep = Static(quantizer, calibration, operators, reduced), [*self._keep, *computed]
        return Candidate(
            f"static int8 per channel, {span}, {calibration}, {name}",
            partial(static.made, keep=keep),
            self._parent.manifest.session,
            f"static {name}",
            keep,
            True,
            static,
            Alone(lambda: quantizer.nodes(operators), lambda only: static.made(only=only)),
        )

    def _float16(self) -> Iterator[Candidate]:
        def computed(keep: list[str]) -> onnx.ModelProto:
            return half.converted(self.prepared, keep=[*keep, *half.islands(self.prepared, self._few())])

        yield Candidate(
            "computed in float16",
            lambda: computed(self._keep),
            self._parent.manifest.session,
            "computed",
            self._keep,
            alone=Alone(lambda: _others(self.prepared, ()), lambda only: computed(_others(self.prepared, only))),
        )
        yield self._stored("float16")

    def _bfloat16(self) -> Iterator[Candidate]:
        yield self._stored("bfloat16")

    def _stored(self, dtype: Literal["float16", "bfloat16"]) -> Candidate:
        # What is to be kept is named as in the prepared graph; where nothing is, the parent's own graph is nearer.
        graph = self.prepared if self._keep else self.named
        return Candidate(
            f"stored in {dtype}, computed in float32",
            lambda: half.stored(graph, dtype, keep=self._keep),
            self._parent.manifest.session,
            "stored",
            self._keep,
            alone=Alone(
                lambda: half.with_weights(graph), lambda only: half.stored(graph, dtype, keep=_others(graph, only))
            ),
        )

    def _weights(self, bits: Literal[4, 8], blocks: tuple[int, ...]) -> Iterator[Candidate]:
        for block in [*blocks, None] if bits == 8 else blocks:
            how = "unpacked when it is loaded" if block is None else f"blocks of {block}"
            make = partial(weights.quantized, self.prepared, bits, block)
            yield Candidate(
                f"weights in {bits} bits, {how}",
                partial(make, keep=self._keep),
                weights.settings(self._parent.manifest.session),
                f"weights {block}",
                self._keep,
                alone=Alone(lambda: half.with_weights(self.prepared), self._without_others(make)),
            )

    def _without_others(self, make: Callable[..., onnx.ModelProto | None]) -> Callable[..., onnx.ModelProto | None]:
        """`make` of the prepared graph, of the nodes that are given alone."""
        return lambda only: make(keep=_others(self.prepared, only))

    def _same(self) -> Iterator[Candidate]:
        def slimmed() -> onnx.ModelProto:
            found = slim.slimmed(self._parent.graph)
            name_nodes(found)
            return found

        yield Candidate("the runtime's offline optimiser, basic level", slimmed, self._parent.manifest.session, "same")


def _others(graph: onnx.ModelProto, names: Collection[str]) -> list[str]:
    """Names of all other nodes."""
    return [node.name for node in graph.graph.node if node.name not in names]
