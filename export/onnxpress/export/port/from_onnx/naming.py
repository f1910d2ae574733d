"""Names for layers, parameters and blocks, from the names that the graph gives its nodes and initializers."""

from __future__ import annotations

import re
from typing import Any

from torch import nn

from onnxpress.export.port.code import identifier

_ENDS = frozenset(
    ("weight", "bias", "kernel", "gamma", "beta", "moving_mean", "moving_variance", "running_mean", "running_var",
     "in_proj_weight", "in_proj_bias", "embeddings", "recurrent_kernel")
)  # fmt: skip
_NOISE = re.compile(
    r"^(StatefulPartitionedCall|ReadVariableOp(_\d+)?|BiasAdd|MatMul(_\d+)?|onnx::.*|val_\d+|Cast(_\d+)?|PartitionedCall|"
    r"const_\w+|new_shape__\d+|Identity(_\d+)?|Variable(_\d+)?|node_\w+|resource|concat\w*|model_torch|_\w*|"
    r"[A-Z]\w*_\d+|[0-9]+)$"
)


class Names:
    """Gives each path once. `identifiers` of the graph are changed only as far as Python needs it."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._by_tensor: dict[str, str] = {}

    def identifier(self, name: str) -> str:
        """A name of Python for an input."""
        return self._once(identifier(name.split(":")[0].rpartition("/")[2] or name))

    def layer(self, node: Any, initializers: list[str | None], kind: str) -> str:
        """The path of the layer that the node is, by its initializers' names or its own."""
        scope = _scope_of(node)
        for name in initializers:
            path = _path_of_tensor(name or "")
            if path and (not scope or path == scope or path.startswith(f"{scope}.")):
                return self._once(path)
        return self._once(scope or kind)

    def tensor(self, name: str) -> str:
        """The path of an initializer that no layer holds."""
        if name not in self._by_tensor:
            parts = [identifier(part) for part in re.split(r"[./:]", name) if part and not _NOISE.match(part)]
            is_path = re.fullmatch(r"[A-Za-z_]\w*(\.\w+)*", name) and not _NOISE.match(name)
            self._by_tensor[name] = self._once(_clean(name) if is_path else (parts[-1] if parts else "constant"))
        return self._by_tensor[name]

    def constant(self, is_mask: bool) -> str:
        """The path of a constant that the graph computes."""
        return self._once("mask" if is_mask else "constant")

    def release(self, name: str | None) -> None:
        """The tensor of this name turned out to be a layer's."""
        if name in self._by_tensor:
            self._taken.discard(self._by_tensor.pop(name))

    def scope(self, node: Any) -> str:
        """The path of the block that the node is in, as far as its name tells."""
        return _scope_of(node) if "/" in node.name or node.metadata_props else ""

    def _once(self, path: str) -> str:
        wanted, number = path, 2
        while wanted in self._taken or any(other.startswith(f"{wanted}.") for other in self._taken):
            wanted, number = f"{path}_{number}", number + 1
        parts = wanted.split(".")
        for n in range(1, len(parts)):
            if ".".join(parts[:n]) in self._taken:  # a layer is there: nothing lies within
                return self._once("_".join(parts))
        self._taken.add(wanted)
        return wanted


def _path_of_tensor(name: str) -> str:
    """`encoder.layer.0` of `encoder.layer.0.weight`; empty of a name that tells nothing."""
    if re.fullmatch(r"[A-Za-z_]\w*(\.\w+)+", name):
        head, _, last = name.rpartition(".")
        if last in _ENDS or re.match(r"(weight|bias)_", last):
            return _clean(head)
    if "/" in name:
        parts = [part for part in re.split(r"[/:]", name) if part and not _NOISE.match(part)]
        if parts and parts[-1] in _ENDS:
            parts.pop()
        if parts:
            return identifier(parts[-1])
    return ""


def _scope_of(node: Any) -> str:
    """The path before the operator in `/encoder/layer.0/conv/Conv`, or what torch.export says of the node."""
    for entry in node.metadata_props:
        if entry.key == "pkg.torch.onnx.name_scopes":
            scopes = re.findall(r"'([^']*)'", entry.value)
            return _clean(scopes[-2]) if len(scopes) > 1 else ""
    if not node.name.startswith("/"):
        return ""
    parts: list[str] = []
    for part in node.name.strip("/").split("/")[:-1]:
        owner = parts[-1] if parts else ""
        if owner and part.startswith(f"{owner}."):
            parts[-1] = part
        else:
            parts.append(part)
    return _clean(".".join(parts))


def _clean(path: str) -> str:
    parts = [part if part.isdigit() else identifier(part) for part in path.split(".") if part]
    return ".".join(f"{part}_" if hasattr(nn.Module, part) else part for part in parts)
