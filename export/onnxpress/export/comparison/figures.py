"""What is measured of one contender."""

from __future__ import annotations

import msgspec


class Training(msgspec.Struct, frozen=True, kw_only=True):
    """What `onnxpress train` said of a recipe."""

    seconds_per_epoch: float
    epochs: int
    peak_memory: int
    """bytes, of the whole command"""
    metrics: dict[str, float]


class Timed(msgspec.Struct, frozen=True, kw_only=True):
    """Median seconds of one way to ask."""

    seconds: dict[int, float] = {}
    """batch size → of one run"""
    first: float | None = None
    """of the first run, which may compile"""
    failed: str = ""
    """why there are no figures"""


class Contender(msgspec.Struct, frozen=True, kw_only=True):
    """One model in one framework."""

    name: str
    framework: str
    parameters: int | None = None
    import_seconds: float | None = None
    """a fresh process that does nothing but import the framework"""
    training: Training | None = None
    eager: Timed = Timed()
    """the network in its framework, called as its users call it"""
    compiled: Timed = Timed()
    """by torch.compile, or by XLA"""
    peak_memory: int | None = None
    """bytes, of the process that asked the framework"""
    runtime: Timed = Timed()
    """the published version in ONNX Runtime, from raw rows to answers"""
    runtime_import_seconds: float | None = None
    runtime_memory: int | None = None
    """bytes, of the process that asked ONNX Runtime"""
    metrics: dict[str, float] = {}
    """of the network's answers to the rows of --data, where these have a target"""
    runtime_metrics: dict[str, float] = {}
    """the same of the published version"""
    multiple: float | None = None
    """how far the published version is from the original, in noise floors"""
    failed: str = ""
    """why the whole contender could not be measured"""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """All contenders, in the order in which they were named; ratios are to the first."""

    created: str
    onnxruntime: str
    cpus: int
    batches: list[int]
    contenders: list[Contender]
    ratios: list[dict[str, float]] = []
    """of each contender: figure, by its name in the table → how many times the first contender's it is"""
