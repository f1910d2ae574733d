"""The processes of one fit, as TF_CONFIG names them, joined by tf.distribute's MultiWorkerMirroredStrategy."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from typing import Any

import msgspec
import tensorflow as tf

from onnxpress.core.errors import UsageError

_FITTING = ("chief", "worker")
_WHERE = "TF_CONFIG"


@dataclass(frozen=True)
class Place:
    """This process among those that fit together."""

    number: int
    """from 0, which is the chief where there is one, or the first worker"""
    count: int


class _Task(msgspec.Struct):
    type: str
    index: int


class _Config(msgspec.Struct):
    cluster: dict[str, list[str]] = {}
    task: _Task | None = None


@functools.cache
def place() -> Place:
    """Where this process stands; alone without TF_CONFIG. Raises UsageError for one that cannot be used."""
    try:
        config = msgspec.json.decode(os.environ.get(_WHERE) or "{}", type=_Config, strict=False)
    except msgspec.DecodeError as error:
        raise UsageError(str(error), where=_WHERE) from None
    others = sorted(set(config.cluster) - set(_FITTING))
    if others:
        raise UsageError(f"there is no use for tasks of type {others[0]!r}", where=_WHERE, hint="name workers alone")
    members = [(kind, index) for kind in _FITTING for index in range(len(config.cluster.get(kind, [])))]
    if len(members) < 2:
        return Place(0, 1)
    task = config.task
    if task is None or (task.type, task.index) not in members:
        raise UsageError("the task is none of the cluster's", where=_WHERE, hint="the same cluster, another task each")
    return Place(members.index((task.type, task.index)), len(members))


@functools.cache
def strategy() -> Any | None:
    """The strategy that joins the processes, or None in a process alone; waits for the others.

    TensorFlow wants it made before its first operation. Raises UsageError where this process cannot join.
    """
    if place().count == 1:
        return None
    try:
        joined = tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        raise UsageError(
            f"this process cannot join the others: {error.message.splitlines()[0]}", where=_WHERE,
            hint="its own address must be free, and those of the others within reach",
        ) from None  # fmt: skip
    if joined.num_replicas_in_sync != place().count:
        raise UsageError(
            f"{place().count} processes have {joined.num_replicas_in_sync} devices",
            hint="show one GPU to each: CUDA_VISIBLE_DEVICES",
        )
    return joined


def summed(parts: list[Any]) -> list[Any]:
    """Dense tensors, added up over the processes; within `strategy().run` alone."""
    context = tf.distribute.get_replica_context()
    return list(context.all_reduce(tf.distribute.ReduceOp.SUM, [tf.convert_to_tensor(part) for part in parts]))
