"""Reading inference requests: JSON or bytes in, flat values per input out; `run_arrays` makes the arrays of a run.

A request to the usual model (one input, every size fixed but the first) is decoded by one typed decoder in one pass.
Every other goes through the general reading, which also accepts nested data and says exactly what is wrong.

A request in a known frame is only cut (see `frames`): the numbers of all requests of a run are decoded in one go, when
the run begins.

Long lists of numbers go past all this to simdjson, where it is installed; see `numbers`. Bodies that are large are read
block by block; see `large`.

NaN and the infinities have no JSON form: null is read as NaN in a float tensor, and a number beyond the dtype's range
is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any, Final

import msgspec
import numpy as np

from onnxpress.core import decoders
from onnxpress.core.arrays import Array
from onnxpress.core.tensors import TensorSpec
from onnxpress.serving.engine.signature import share_rows
from onnxpress.serving.protocol import binary, large, numbers, parameters
from onnxpress.serving.protocol.datatypes import DATATYPE_OF
from onnxpress.serving.protocol.frames import Frames
from onnxpress.serving.protocol.inputs import Form, Inputs
from onnxpress.serving.protocol.overrides import Overrides
from onnxpress.serving.protocol.refusal import Refusal, shown
from onnxpress.serving.protocol.run_arrays import RunArrays, flat_values
from onnxpress.serving.protocol.shapes import check_shape, check_sums
from onnxpress.serving.protocol.tensor_data import NOT_JSON, value_type
from onnxpress.serving.protocol.timeouts import timeout_of
from onnxpress.serving.protocol.wire import AnyRequest, AnyTensor, Named, Outline, Output, Request

LARGE: Final = 1 << 20
"""bytes of JSON from which it is read by steps, and beside the loop: 10 ms of plain numbers, 100 ms of others"""


_PARAMETERS: Final = 256 << 10
"""bytes of all parameters of a large request"""


class Reader:
    """Reads the requests to one version of one model. Raises ValueError for a dtype that the protocol cannot carry."""

    def __init__(
        self, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], optional: Sequence[TensorSpec] = ()
    ) -> None:
        """`optional`: inputs with a default."""
        for spec in inputs:
            if spec.dtype not in DATATYPE_OF:
                raise ValueError(f"{spec} has a dtype that requests cannot carry")
        self._specs = tuple(inputs)
        self._outputs = {spec.name: number for number, spec in enumerate(outputs)}
        self.outputs = tuple(outputs)
        """the model's outputs, in order"""
        self._lists = [msgspec.json.Decoder(list[value_type(spec.dtype)]).decode for spec in inputs]  # type: ignore[misc]
        self._arrays = RunArrays(inputs, self._lists)
        self.overrides = Overrides(optional)
        self._by_names = {spec.name: spec for spec in (*inputs, *optional)}
        self._any = decoders.of_json(AnyRequest).decode
        # Rows can be put together only where every tensor's first axis is the one dimension that all share.
        self.has_rows = share_rows(inputs, outputs)
        self._has_sums = any(spec.sums for spec in inputs)
        self._frames: Frames | None = None
        self._long_lists: numbers.Lists | None = None  # made when first needed, which loads simdjson
        self._large_lists = large.Lists(self._specs, self._lists, self._arrays.array)
        self._usual = self._one_pass()

    def _one_pass(self) -> Callable[[bytes, bool], Inputs | None] | None:
        """The reading of the usual model's usual request; None where the model has another form.

        Its second argument says whether to learn the request's frame.
        """
        if not self.has_rows or len(self._specs) != 1:
            return None
        (spec,) = self._specs
        tail = [size for size in spec.shape[1:] if isinstance(size, int) and size]
        if len(tail) != len(spec.shape) - 1:
            return None
        request_of: Any = Request[list[value_type(spec.dtype)]]  # type: ignore[misc]
        decode = decoders.of_json(request_of).decode
        name, datatype, width, tails = spec.name, DATATYPE_OF[spec.dtype], math.prod(tail), (tuple(tail),)
        selected = self.selected
        frames = Frames(self._lists[0], lambda body: decode(body).inputs[0].data)
        self._frames = frames

        def read(body: bytes, learn: bool) -> Inputs | None:
            try:
                request = decode(body)
            except NOT_JSON:
                return None
            if len(request.inputs) != 1:
                return None
            tensor = request.inputs[0]
            shape, data = tensor.shape, tensor.data
            if shape[1:] != tail or not shape or tensor.name != name or tensor.datatype != datatype:
                return None
            rows, size = shape[0], len(data)
            if rows < 0 or rows * width != size:
                return None
            if request.outputs is None:
                if learn and request.id is None and size:
                    frames.learn(body, [shape], rows, data, tails)
                return Inputs([data], [shape], rows, size, tails, request.id, None)
            return Inputs([data], [shape], rows, size, tails, request.id, selected(request.outputs))

        return read

    def read(self, body: bytes, alone: bool = False) -> Inputs:
        """Read a request. Raises Refusal(400) saying which field of which tensor is wrong, and how it should be.

        One that is `alone` is decoded now, unless it is long: there is no other to be decoded with.
        """
        if len(body) >= LARGE:
            return self._read_large(body, None)
        to_be_cut = not alone or len(body) >= numbers.JOINED
        if len(body) >= numbers.LONG:
            began = perf_counter()
            found = self._long().read(body)
            if found is not None:
                inputs = self._inputs_of(found[0], len(body), None, found[1])
                inputs.reading = perf_counter() - began
                return inputs
        if self._frames is not None and to_be_cut:
            cut = self._frames.cut(body)
            if cut is not None:
                return cut
        began = 0.0 if alone else perf_counter()
        usual = None if self._usual is None else self._usual(body, to_be_cut)
        inputs = self._read_any(body, None) if usual is None else usual
        inputs.reading = 0.0 if alone else perf_counter() - began
        return inputs

    def read_binary(self, body: bytes, json_length: int) -> Inputs:
        """Read a request whose first `json_length` bytes are JSON, with tensors as bytes behind it.

        Without any JSON the whole body is the one input, and the answer is bytes too.
        """
        content = memoryview(body)
        if json_length > len(body):
            raise Refusal(400, f"the body has {len(body)} bytes; Inference-Header-Content-Length says {json_length}")
        if json_length >= LARGE:
            return self._read_large(body[:json_length], content[json_length:])
        if json_length:
            return self._read_any(content[:json_length], content[json_length:])
        shape = binary.raw_shape(self._specs, len(body))
        values = binary.from_bytes(self._specs[0], math.prod(shape), content)
        form = binary.Binary(range(len(self._outputs)))
        return self.inputs([values], [shape], None, None, form)

    def _long(self) -> numbers.Lists:
        if self._long_lists is None:
            self._long_lists = numbers.Lists(self._specs)
        return self._long_lists

    @property
    def reads_long(self) -> bool:
        """Whether long lists of numbers are read by simdjson."""
        return bool(self._long())

    def _read_any(self, text: bytes | memoryview, behind: memoryview | None) -> Inputs:
        request = self._request(text)
        return self._inputs_of(request, len(text) + (0 if behind is None else len(behind)), behind, {})

    def _read_large(self, text: bytes, behind: memoryview | None) -> Inputs:
        """As `_read_any`, by steps that are short: other threads have their turn between them."""
        rest, lists = numbers.cut(text) or (text, {})
        _check_outline(rest, len(self._by_names))
        texts = {mark: memoryview(text)[start:stop] for mark, (start, stop) in lists.items()}
        request = self._request(rest)
        arrived = len(text) + (0 if behind is None else len(behind))
        theirs = [tensor for tensor in request.inputs if memoryview(tensor.data).nbytes < numbers.LONG]
        theirs = [tensor for tensor in theirs if bytes(tensor.data) in texts]
        if len(theirs) != len(texts):  # a list that is nobody's data is wrong
            request, texts = self._request(text), {}
        elif self.overrides.specs:
            for tensor in theirs:
                tensor.data = msgspec.Raw(bytes(texts[bytes(tensor.data)]))
        with np.errstate(over="raise"):  # see strictness
            return self._inputs_of(request, arrived, behind, texts, large=True)

    def _request(self, text: bytes | memoryview) -> AnyRequest:
        request: AnyRequest = _decoded(self._any, text)
        return request

    def _inputs_of(
        self,
        request: AnyRequest,
        arrived: int,
        behind: memoryview | None,
        arrays: Mapping[bytes, Any],
        large: bool = False,
    ) -> Inputs:
        """The inputs of a request of `arrived` bytes.

        Some of them are bytes `behind` it, and some `arrays` in whose place a mark stands: texts, where it is `large`.
        """
        if request.parameters is not None:
            parameters.check_request(request.parameters)
        given = self.given(request.inputs, raw=behind is not None)
        cuts = {} if behind is None else binary.cut([(one.name, one.parameters) for one in request.inputs], behind)
        values: list[Any] = []
        shapes, sizes = [], dict[str, int]()
        for number, spec in enumerate(self._specs):
            tensor = given[spec.name]
            check_shape(spec, tensor.shape, sizes, arrived)
            count = math.prod(tensor.shape)
            if spec.name in cuts:
                values.append(binary.from_bytes(spec, count, cuts[spec.name]))
            elif large:
                values.append(self._large(number, tensor, arrays))
            else:
                array = arrays.get(bytes(tensor.data)) if arrays else None
                values.append(flat_values(spec, self._lists[number], tensor, count) if array is None else array)
            shapes.append(tensor.shape)
        if self._has_sums:
            check_sums(self._specs, sizes)
        if cuts or arrays or large:
            with np.errstate(over="raise"):  # see strictness: this is not in the context of the runs
                values = [self._arrays.array(number, flat) for number, flat in enumerate(values)]
        asked = request.outputs or []
        selected = self.selected(asked)
        wanted: list[tuple[int, dict[str, Any] | None]] = [(number, None) for number in range(len(self._outputs))]
        if selected is not None:
            wanted = [(number, output.parameters) for number, output in zip(selected, asked, strict=True)]
        classes = {number: parameters.classes_of(self.outputs[number], own) for number, own in wanted if own}
        classes = {number: count for number, count in classes.items() if count}
        inputs = self.inputs(values, shapes, request.id, selected, binary.form(request.parameters, wanted, classes))
        inputs.timeout = timeout_of(request.parameters)
        if len(given) > len(self._specs):
            self.overrides.take(inputs, given, cuts, sizes, arrived)
        return inputs

    def inputs(
        self,
        values: list[Any],
        shapes: list[list[int]],
        id: str | None,  # noqa: A002 - the protocol's word
        outputs: list[int] | None,
        form: Form | None,
    ) -> Inputs:
        """One request, its values and shapes checked, as what can share a run with others of its kind."""
        size = sum(math.prod(shape) for shape in shapes)
        if not self.has_rows:
            return Inputs(values, shapes, 1, size, None, id, outputs, form)
        tails = tuple(tuple(shape[1:]) for shape in shapes)
        if form is not None or isinstance(values[0], np.ndarray):
            # No shape has such a size: lists and arrays are put together, and answers written, in different ways.
            tails = ((-1 if isinstance(values[0], np.ndarray) else -2, 0 if form is None else 1), *tails)
        return Inputs(values, shapes, shapes[0][0], size, tails, id, outputs, form)

    @property
    def one_pass(self) -> bool:
        """Whether the usual request is read in one typed pass."""
        return self._usual is not None

    @property
    def specs(self) -> tuple[TensorSpec, ...]:
        """The model's inputs, in order."""
        return self._specs

    def given(self, tensors: Sequence[AnyTensor], *, raw: bool) -> dict[str, AnyTensor]:
        """The tensors of a request by name, once they are those that the model takes. `raw`: bytes stand behind it."""
        return _by_name(self._by_names, self._specs, tensors, raw)

    def selected(self, outputs: Sequence[Named | Output]) -> list[int] | None:
        """The numbers of the outputs asked for; None for all of them, which is also what an empty list means."""
        numbers = []
        for output in outputs:
            number = self._outputs.get(output.name)
            if number is None:
                known = ", ".join(self._outputs)
                raise Refusal(400, f"there is no output {shown(output.name)}; the model answers: {known}")
            if number in numbers:  # a short request must not ask for an endless answer
                raise Refusal(400, f"the output {output.name!r} is asked for twice")
            numbers.append(number)
        return numbers or None

    def _large(self, number: int, tensor: AnyTensor, texts: Mapping[bytes, memoryview]) -> Any:
        """As `flat_values`, an array where the list is a long one."""
        text = memoryview(tensor.data)
        if text.nbytes < numbers.LONG:
            if bytes(text) not in texts:
                count = math.prod(tensor.shape)
                return flat_values(self._specs[number], self._lists[number], tensor, count)
            text = texts[bytes(text)]
        return self._large_lists.read(number, text, tensor.shape)

    def feeds(self, batch: Sequence[Inputs]) -> dict[str, Array]:
        """The arrays of one run, see RunArrays."""
        return self._arrays.feeds(batch)


def _by_name(
    specs: Mapping[str, TensorSpec], needed: Sequence[TensorSpec], tensors: Sequence[AnyTensor], has_bytes: bool
) -> dict[str, AnyTensor]:
    """The tensors given: each input once, with its datatype, all that are needed, and no other."""
    given: dict[str, AnyTensor] = {}
    for tensor in tensors:
        spec = specs.get(tensor.name)
        if spec is None:
            raise Refusal(400, f"there is no input {shown(tensor.name)}; the model takes: {', '.join(specs)}")
        if tensor.name in given:
            raise Refusal(400, f"the input {spec.name!r} is given twice")
        wanted = DATATYPE_OF[spec.dtype]
        if tensor.datatype != wanted:
            datatype = shown(tensor.datatype)
            raise Refusal(400, f"the input {spec.name!r} has datatype {datatype}; it must be {wanted}")
        if tensor.parameters is not None:
            in_json = memoryview(tensor.data).nbytes > 0
            parameters.check_input(spec, tensor.parameters, in_json=in_json, binary=has_bytes)
        given[tensor.name] = tensor
    for spec in needed:
        if spec.name not in given:
            raise Refusal(400, f"the input {spec.name!r} is missing; the model takes {spec}")
    return given


def _check_outline(text: bytes, most: int) -> None:
    """Refuse what would be read in one step, and is no values: others would wait for it, for seconds."""
    outline = _decoded(decoders.of_json(Outline).decode, text)
    if len(outline.inputs) > most:
        raise Refusal(400, f"there are {len(outline.inputs)} inputs; the model takes {most}")
    size = memoryview(outline.parameters).nbytes
    for part in [*outline.inputs, *(outline.outputs or [])]:
        size += memoryview(part.parameters).nbytes
    if size > _PARAMETERS:
        raise Refusal(400, f"the parameters have {size} bytes; {_PARAMETERS} can be read")


def _decoded(decode: Callable[[Any], Any], text: bytes | memoryview) -> Any:
    try:
        return decode(text)
    except msgspec.ValidationError as error:
        raise Refusal(400, f"the request is not an inference request: {error}") from None
    except NOT_JSON as error:
        raise Refusal(400, f"the request is not JSON: {error}") from None
