"""Operators in a model file that read or write files when the model is loaded or run: such a file is refused.

Measuring a model means running it. A SavedModel and a TorchScript file hold graphs, no Python; but some of TensorFlow's
and torch's operators write where the graph says, or read what is there. Those that save and restore a SavedModel's own
variables are in each of them, and are let be where nothing that is called leads to them.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from onnxpress.core.errors import BadModel
from onnxpress.core.files import open_regular, read_regular

_MOST_BYTES = 2 << 30
_MOST_CODE = 64 << 20
_CHECKPOINT = frozenset({"SaveV2", "RestoreV2", "MergeV2Checkpoints", "ShardedFilename", "CheckpointExists"})
_FILES = re.compile(
    r"ReadFile|WriteFile|MatchingFiles|ImmutableConst|LoadAndRemapMatrix|GenerateVocabRemapping|Save|SaveSlices|Restore|"
    r"RestoreSlice|DistributedSave|FileSystemSetConfiguration|ImportEvent|SummaryWriter|DatasetToTFRecord|"
    r".*PyFunc.*|Debug.*|.*Summary.*Writer|Write.*Summary|Write.*Proto|.*Reader(V2)?|Reader[A-Z].*|Rpc.*|_?(Send|Recv)|"
    r"_Host(Send|Recv)|.*DataService.*|(Experimental)?(Save|Load)Dataset.*|"
    r".*(TextLine|Record|File|FixedLength|Sql|LMDB|Snapshot|Cache|Csv|CSV|Avro)\w*Dataset.*|.*(LMDB|BigQuery|GcsConfig).*"
)
_STREAMS = re.compile(rb"stdout|stderr|log\((info|warning|error)\)")
_TORCH = re.compile(rb"\b(?:torch|ops\s*\.\s*aten)\s*\.\s*(save|load|from_file)\b")


def refuse_in_torchscript(path: Path) -> None:
    """Raises BadModel where the code of a TorchScript file saves or reads a file. What is no such archive passes."""
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            # Every entry, though names may be there twice: which of them torch reads is its own business.
            entries = [entry for entry in archive.infolist() if entry.filename.endswith(".py")]
            if sum(entry.file_size for entry in entries) > _MOST_CODE:
                raise BadModel(f"it holds more than {_MOST_CODE} bytes of code", where=str(path))
            for entry in entries:
                match = _TORCH.search(archive.read(entry))
                if match is not None:
                    raise _refused(path, f"torch.{match[1].decode()}", f"its code {entry.filename}")
    except (zipfile.BadZipFile, OSError, NotImplementedError):
        return  # torch says what it is instead


def refuse_in_saved_model(folder: Path) -> None:
    """Raises BadModel where a graph of the SavedModel holds such an operator, or the file cannot be read."""
    from tensorflow.core.protobuf import saved_model_pb2

    path = folder / "saved_model.pb"
    read = saved_model_pb2.SavedModel()
    try:
        read.ParseFromString(read_regular(path, _MOST_BYTES))
    except Exception as error:  # protobuf's own kind depends on its implementation
        raise BadModel(f"it cannot be read: {error}", where=str(path)) from None
    for meta in read.meta_graphs:
        _refuse_in_graph(folder, meta)


def _refuse_in_graph(folder: Path, meta: Any) -> None:
    functions = {one.signature.name: one for one in meta.graph_def.library.function}
    places = {"its graph": meta.graph_def.node, **{name: one.node_def for name, one in functions.items()}}
    for place, nodes in places.items():
        for node in nodes:
            prints = node.op == "PrintV2" and not _STREAMS.fullmatch(node.attr["output_stream"].s or b"stderr")
            if prints or _FILES.fullmatch(node.op):
                raise _refused(folder, node.op, f"the node {node.name!r} in {place}")
    reached = _called_nodes(meta)
    names = {name for node in reached for name in _calls(node, functions)}
    waiting = [name for name in names | set(meta.object_graph_def.concrete_functions) if name in functions]
    seen = set(waiting)
    while waiting:
        nodes = functions[waiting.pop()].node_def
        reached.extend(nodes)
        more = {name for node in nodes for name in _calls(node, functions)} - seen
        seen |= more
        waiting.extend(more)
    for node in reached:
        if node.op in _CHECKPOINT:
            raise _refused(folder, node.op, f"the node {node.name!r}, which its signatures call")


def _called_nodes(meta: Any) -> list[Any]:
    """The nodes of the main graph that a signature's outputs, or what is run at loading, come from."""
    nodes = {node.name: node for node in meta.graph_def.node}
    waiting = [
        _node_of(output.name) for signature in meta.signature_def.values() for output in signature.outputs.values()
    ]
    for name in ("saved_model_main_op", "legacy_init_op", "main_op"):
        waiting += (
            [_node_of(value) for value in meta.collection_def[name].node_list.value]
            if (name in meta.collection_def)
            else []
        )
    seen: dict[str, Any] = {}
    while waiting:
        name = waiting.pop()
        if name in nodes and name not in seen:
            seen[name] = nodes[name]
            waiting += [_node_of(one) for one in nodes[name].input]
    return list(seen.values())


def _node_of(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]


def _calls(node: Any, functions: Iterable[str]) -> set[str]:
    """The functions that a node calls: by its own name, or by an attribute."""
    named = {node.op}
    for value in node.attr.values():
        named.add(value.func.name)
        named.update(one.name for one in value.list.func)
    return named & set(functions)


def _refused(path: Path, operator: str, where: str) -> BadModel:
    return BadModel(
        f"it reads or writes files while it runs: {operator} in {where}",
        where=str(path),
        hint="export it without, or build the model by module:attribute",
    )
