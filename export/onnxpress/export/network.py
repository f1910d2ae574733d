"""What is asked of a framework's network, whichever framework it is: the seam that `networks` implements."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from onnxpress.core.arrays import Array
from onnxpress.core.tensors import TensorSpec

if TYPE_CHECKING:
    import onnx

Precision = Literal["float32", "float64"]


class TruthUnavailable(Exception):
    """The network cannot be run in float64; the noise floor is then found by moving its inputs."""


class Answering(Protocol):
    """What can be asked in two precisions: a framework's network, or a user's own functions."""

    inputs: list[TensorSpec]

    def run(self, feeds: dict[str, Array], precision: Precision) -> dict[str, Array]:
        """Its own answer; float inputs and weights in `precision`. Raises TruthUnavailable for float64."""


class Network(Answering, Protocol):
    """A framework's network, ready to be converted and to be asked. One implementation for each kind of source.

    The caller's own model is never touched: implementations work on a copy, in inference mode.
    """

    framework_version: str
    converter: str
    output_names: list[str]
    notes: list[str]
    """what was put right on the way, for the report"""
    talk: list[str]
    """what the converter printed and logged, line by line"""

    def random_layer(self, feeds: dict[str, Array]) -> str:
        """The first layer whose output differs between two runs on the same input; the network itself if unknown."""

    def examples(self, batch: int) -> dict[str, Array] | None:
        """The author's example inputs with `batch` rows, or None if there are none."""

    def convert(self, folder: Path) -> onnx.ModelProto:
        """The ONNX form, with this network's input and output names. Raises BadModel with the converter's reason.

        Weights too large for one message may be written into `folder` as `external_data.FILE`.
        """

    def parameters(self) -> dict[str, Array]:
        """The framework's own weights and buffers by name, to be found again in the graph; empty if it has none."""

    def write_state(self, path: Path) -> None:
        """Write the weights, if a second resolving of the same words might give others."""

    def read_state(self, path: Path) -> None:
        """Take weights that `write_state` wrote in another process. Raises BadModel where they do not fit."""


@runtime_checkable
class Narrowing(Protocol):
    """A network that computes in float64 whatever it is given.

    Its float32 answer is as exact as the truth, and shows no noise that a float32 graph could be allowed.
    """

    def run_narrowed(self, feeds: dict[str, Array], precision: Precision) -> dict[str, Array]:
        """Its answer in `precision` with its own values rounded to float32: a float32 graph holds no more of them.

        Raises TruthUnavailable as `run` does.
        """


@runtime_checkable
class Beginning(Protocol):
    """A network that can be asked as if for the first time: some keep what their first call was about."""

    def begun(self, first: dict[str, Array], feeds: dict[str, Array]) -> dict[str, Array] | None:
        """What it says to `feeds` where it was asked about `first` before, and nothing before that.

        None where nobody can tell, as no second one is at hand.
        """


@runtime_checkable
class Choosing(Protocol):
    """A network that chooses among its own scores, as top-k, sorting and argmax do."""

    def chosen_otherwise(self, feeds: dict[str, Array], limit: float, turns: int) -> Iterator[dict[str, Array]]:
        """Its float32 answers where scores within `limit` times their rounding are chosen from in another order.

        One for each of `turns`; none where it chooses nothing. Scores that are equal in float64 too are not exchanged.
        """


Choice = Literal["highest", "lowest", "sign"]
"""how a decision is taken from scores: by the place of the highest, of the lowest, or by whether one is negative"""


@runtime_checkable
class Deciding(Protocol):
    """A network some of whose outputs are decisions taken from the scores in other outputs."""

    def decisions(self) -> dict[str, tuple[str, Choice]]:
        """Output that decides → the output with its scores, classes on the last axis, and how."""


@dataclass(frozen=True)
class Seen:
    """One tensor that a layer, or an operation inside a layer's own code, has just computed."""

    layer: str
    """the author's name of the innermost layer: torch's module path, Keras's layer name; empty for the model itself"""
    kind: str
    operation: str
    source: str
    """`file.py:12` in the author's code, where it is known"""
    tensor: Any
    """the framework's own object"""
    value: Array
    inputs: Sequence[Any]
    """the framework's own objects that it was computed from"""


See = Callable[[Seen], None]


@runtime_checkable
class Layered(Protocol):
    """A network that shows what its layers compute."""

    def watch(self, feeds: dict[str, Array], precision: Precision, see: See) -> None:
        """Run once and show every float tensor, in the order of computation. Raises as `run` does."""

    def layer_names(self) -> frozenset[str]:
        """The author's names of all layers, the model's own among them."""


@runtime_checkable
class Compilable(Protocol):
    """A network that its framework's own compiler can make quicker."""

    def compiled(self) -> Callable[[dict[str, Array]], object]:
        """What answers as `run` in float32, compiled at its first call. The network itself stays as it is."""
