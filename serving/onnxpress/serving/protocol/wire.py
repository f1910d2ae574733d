"""Inference requests as they stand in JSON, in the protocol's own words."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T")


# gc=False: a request holds no cycles, and the collector need not walk what lives for one turn of the loop.
class Tensor(msgspec.Struct, Generic[T], gc=False):
    """An input whose data are of a known type. With any parameters it does not decode: AnyTensor is for those."""

    name: str
    shape: list[int]
    datatype: str
    data: T
    parameters: None = None


class Named(msgspec.Struct, gc=False):
    """An output that is asked for by its name alone."""

    name: str
    parameters: None = None


class Output(msgspec.Struct, gc=False):
    """An output that is asked for."""

    name: str
    parameters: dict[str, Any] | None = None


class Request(msgspec.Struct, Generic[T], gc=False):
    """A request without parameters, whose inputs all have data of a known type."""

    inputs: list[Tensor[T]]
    id: str | None = None
    outputs: list[Named] | None = None
    parameters: None = None


class AnyTensor(msgspec.Struct, gc=False):
    """An input whose data, where they are JSON, are still text."""

    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw = msgspec.Raw()
    parameters: dict[str, Any] | None = None


class Part(msgspec.Struct, gc=False):
    """An input or output of which nothing is read but that it is there, and how long its parameters are."""

    parameters: msgspec.Raw = msgspec.Raw()


class Outline(msgspec.Struct, gc=False):
    """A request of which only that is read."""

    inputs: list[Part]
    outputs: list[Part] | None = None
    parameters: msgspec.Raw = msgspec.Raw()


class AnyRequest(msgspec.Struct, gc=False):
    """A request to any model."""

    inputs: list[AnyTensor]
    id: str | None = None
    outputs: list[Output] | None = None
    parameters: dict[str, Any] | None = None
