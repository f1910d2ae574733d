"""Writing inference responses: the outputs of one run, cut into one JSON body per request.

NaN and the infinities have no JSON form: they are written as null.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import msgspec
import numpy as np

from onnxpress.core.tensors import TensorSpec
from onnxpress.serving.protocol.datatypes import DATATYPE_OF
from onnxpress.serving.protocol.requests import Inputs

Array = np.ndarray[Any, np.dtype[Any]]
Written = tuple[tuple[int, ...], list[Any]]
"""shape and flat values of one output of one request"""
_encode = msgspec.json.Encoder().encode
_SHAPES_KEPT = 256


class Writer:
    """Writes the responses of one version of one model. Raises ValueError for a dtype that JSON cannot carry."""

    def __init__(self, name: str, version: int, outputs: Sequence[TensorSpec]) -> None:
        for spec in outputs:
            if spec.dtype not in DATATYPE_OF:
                raise ValueError(f"{spec} has a dtype that JSON responses cannot carry")
        # Everything but the id, the shapes and the numbers is the same in every response.
        self._start = b'{"model_name":%b,"model_version":"%d",' % (_encode(name), version)
        self._heads = [
            b'{"name":%b,"datatype":"%b","shape":' % (_encode(spec.name), DATATYPE_OF[spec.dtype].encode())
            for spec in outputs
        ]
        self._all = range(len(outputs))
        self._shapes: dict[tuple[int, ...], bytes] = {}

    def write(self, batch: Sequence[Inputs], answers: Sequence[Array]) -> Iterator[bytes]:
        """One response body per request, in order. Raises ValueError where the outputs have not the batch's rows."""
        if len(batch) == 1:
            yield self._body(batch[0], [(answer.shape, answer.ravel().tolist()) for answer in answers])
            return
        total = sum([inputs.rows for inputs in batch])
        if any(not answer.ndim or len(answer) != total for answer in answers):
            raise ValueError("an output has other rows than the batch")
        # One pass over each output for the whole batch: a list per row, joined where a request has several rows.
        rows = [answer.reshape(total, math.prod(answer.shape[1:])).tolist() for answer in answers]
        tails = [answer.shape[1:] for answer in answers]
        start = 0
        for inputs in batch:
            end = start + inputs.rows
            if end - start == 1:
                written: list[Written] = [((1, *tail), lists[start]) for tail, lists in zip(tails, rows, strict=True)]
            else:
                written = [
                    ((end - start, *tail), list(chain.from_iterable(lists[start:end])))
                    for tail, lists in zip(tails, rows, strict=True)
                ]
            yield self._body(inputs, written)
            start = end

    def _body(self, inputs: Inputs, outputs: list[Written]) -> bytes:
        pieces = [self._start]
        if inputs.id is not None:
            pieces.append(b'"id":%b,' % _encode(inputs.id))
        pieces.append(b'"outputs":[')
        for number in self._all if inputs.outputs is None else inputs.outputs:
            shape, values = outputs[number]
            pieces += (self._heads[number], self._shape(shape), b',"data":', _encode(values), b"},")
        pieces[-1] = b"}]}" if len(pieces) > 2 else b'"outputs":[]}'
        return b"".join(pieces)

    def _shape(self, shape: tuple[int, ...]) -> bytes:
        written = self._shapes.get(shape)
        if written is None:
            written = _encode(shape)
            if len(self._shapes) < _SHAPES_KEPT:
                self._shapes[shape] = written
        return written
