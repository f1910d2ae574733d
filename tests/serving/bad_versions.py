"""Versions that cannot be served, of every kind that is known: each spoils a sound version's folder in its own way.

`publish_all(repository)` puts each under a model of its own. Those in `HARMLESS` are odd, and served all the same.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tests.serving.onnx_models import affine, external, in_attribute, model, node, publish_affine, sequence

Spoil = Callable[[Path], None]
"""what is done to `<model>/1`"""


def _zip(entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _npy(header: str, values: bytes = b"", version: int = 1) -> bytes:
    text = header.encode("latin-1")
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(text)) + text + values


def _header(descr: str, shape: str) -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"


X = _npy(_header("'<f4'", "(1, 3)"), np.ones(3, "<f4").tobytes())
Y = _npy(_header("'<f4'", "(1, 2)"), np.full(2, 3, "<f4").tobytes())
FAR = _npy(_header("'<f4'", "(1, 2)"), np.full(2, 4, "<f4").tobytes())
SOUND = {"0/input/x.npy": X, "0/output/y.npy": Y}


def resign(folder: Path, change: Callable[[dict[str, Any]], object] = lambda manifest: None) -> None:
    """Write the manifest anew, with the digests of the files that are there now."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_bytes())
    manifest["files"] = {
        file.relative_to(folder).as_posix(): {
            "size": len(file.read_bytes()),
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        }
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != "manifest.json"
    }
    change(manifest)
    path.write_text(json.dumps(manifest))


def _golden(content: bytes) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / "golden.npz").write_bytes(content)
        resign(folder)

    return spoil


def _input(content: bytes) -> Spoil:
    return _golden(_zip({**SOUND, "0/input/x.npy": content}))


def _floor(content: bytes) -> Spoil:
    return _golden(_zip({**SOUND, "0/output/y.npy": FAR, "0/floor/y.npy": content}))


def _manifest(change: Callable[[dict[str, Any]], object]) -> Spoil:
    return lambda folder: resign(folder, change)


def _config(**config: str) -> Spoil:
    return _manifest(lambda manifest: manifest.update(session={"config": config}))


def _raw_manifest(content: bytes) -> Spoil:
    return lambda folder: _write(folder / "manifest.json", content)


def _graph(content: bytes) -> Spoil:
    """Another model file, and a manifest that vouches for it."""

    def spoil(folder: Path) -> None:
        (folder / "model.onnx").write_bytes(content)
        resign(folder)

    return spoil


def _bare(content: bytes) -> Spoil:
    """A model file without a manifest."""

    def spoil(folder: Path) -> None:
        (folder / "manifest.json").unlink()
        (folder / "model.onnx").write_bytes(content)

    return spoil


def _instead(name: str, make: Callable[[Path], object]) -> Spoil:
    """Something else in the place of a file."""

    def spoil(folder: Path) -> None:
        path = folder / name
        path.unlink(missing_ok=True)
        make(path)

    return spoil


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _flip(archive: bytes, changes: dict[int, int], directory: dict[int, int]) -> bytes:
    content = bytearray(archive)
    at = content.find(b"PK\1\2")
    for offset, value in changes.items():
        content[offset] = value
    for offset, value in directory.items():
        content[at + offset] = value
    return bytes(content)


def _lzma() -> bytes:
    content = bytearray(_zip({"0/input/x.npy": X * 50, "0/output/y.npy": Y}, zipfile.ZIP_LZMA))
    start = content.find(b"npy") + 3
    for at in range(start + 9, start + 60):
        content[at] ^= 0x5A
    return bytes(content)


def _many_entries() -> bytes:
    return _zip({f"{number}/input/{'x' * 200}.npy": b"" for number in range(5000)}, zipfile.ZIP_STORED)


def _bomb() -> bytes:
    zeros = _npy(_header("'|u1'", f"({1 << 30},)"))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("0/input/x.npy", "w") as file:
        file.write(zeros)
        for _ in range(1 << 8):
            file.write(bytes(1 << 22))
    return buffer.getvalue()


def _trap() -> bytes:
    """Folded while it is loaded: the smallest integer divided by -1, at which the processor stops the process."""
    constants = {"a": np.array([-(2**63)]), "b": np.array([-1]), "w": np.ones((3, 2), np.float32)}
    nodes = [
        node("Div", ["a", "b"], ["c"]),
        node("Cast", ["c"], ["d"], to=1),
        node("MatMul", ["x", "w"], ["h"]),
        node("Add", ["h", "d"], ["y"]),
    ]
    return model(nodes, ["x:float32[batch,3]"], ["y:float32[batch,2]"], constants)


def _trap_in_samples(folder: Path) -> None:
    """Its golden sample divides the smallest integer by -1."""
    divide = [node("Div", ["x", "b"], ["y"])]
    content = model(divide, ["x:int64[batch]"], ["y:int64[batch]"], {"b": np.array([-1])})
    smallest = _npy(_header("'<i8'", "(1,)"), np.array([-(2**63)]).tobytes())
    (folder / "model.onnx").write_bytes(content)
    (folder / "golden.npz").write_bytes(_zip({"0/input/x.npy": smallest, "0/output/y.npy": smallest}))
    spec = {"dtype": "int64", "shape": ["batch"]}
    resign(folder, lambda m: m.update(inputs=[{"name": "x", **spec}], outputs=[{"name": "y", **spec}]))


def _chain(length: int) -> bytes:
    nodes = [node("Identity", ["x" if not at else f"t{at}"], [f"t{at + 1}"]) for at in range(length)]
    return model(nodes, ["x:float32[batch,3]"], [f"t{length}:float32[batch,3]"])


def _linked(make: Callable[[Path, Path], object], location: str = "w.bin", *, attribute: bool = False) -> Spoil:
    """External data, made by `make(the file's path, a secret elsewhere)`."""

    def spoil(folder: Path) -> None:
        secret = folder.parent.parent.parent / f"secret-of-{folder.parent.name}"
        secret.write_bytes(np.ones((3, 2), np.float32).tobytes())
        (folder / "model.onnx").write_bytes(in_attribute(location) if attribute else external(location))
        make(folder / "w.bin", secret)
        (folder / "manifest.json").unlink()

    return spoil


def _memory_address(folder: Path) -> None:
    """The mark by which ONNX Runtime takes a place in memory for external data."""
    location = "*/_ORT_MEM_ADDR_/*"
    _bare(external(location))(folder)
    place = folder / location
    place.parent.mkdir(parents=True)
    place.write_bytes(bytes(24))


BAD: dict[str, Spoil] = {
    "golden claims 10^12 values": _input(_npy(_header("'<f4'", "(1000000000000,)"))),
    "golden claims 2^70 values": _input(_npy(_header("'<f4'", f"({2**70},)"))),
    "golden claims values in digits without end": _input(_npy(_header("'<f4'", f"({'9' * 3000},)"))),
    "golden of wide texts": _input(_npy(_header("'<U999999999'", "(1000,)"))),
    "golden with a negative size": _input(_npy(_header("'<f4'", "(-1,)"))),
    "golden with 60 axes": _input(_npy(_header("'<f4'", f"({'1, ' * 60})"), bytes(4))),
    "golden pickled": _input(_npy(_header("'|O'", "(1,)"), b"cos\nsystem\n(S'touch pwned'\ntR.")),
    "golden header unclosed": _input(_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,")),
    "golden header deep": _input(_npy("(" * 3000)),
    "golden header quote": _input(_npy("'''")),
    "golden header nul": _input(_npy("\0")),
    "golden header dedents": _input(_npy(" 1\n 2\n  3\n 4")),
    "golden header calls": _input(_npy(_header("'<f4'", "(__import__('os').getpid(),)"))),
    "golden header longer than the entry": _input(b"\x93NUMPY\x02\x00\xff\xff\xff\xff"),
    "golden header of a later format": _input(b"\x93NUMPY\x09\x00" + X[8:]),
    "golden of records": _input(_npy(_header("[('a','<f4'),('a','<f4')]", "(1,)"))),
    "golden of dates": _input(_npy(_header("'<M8[s]'", "(1, 3)"), bytes(24))),
    "golden of raw bytes": _input(_npy(_header("'|V4'", "(1, 3)"), bytes(12))),
    "golden of complex answers": _golden(
        _zip({**SOUND, "0/output/y.npy": _npy(_header("'<c8'", "(1, 2)"), bytes(16))})
    ),
    "golden of another shape": _input(_npy(_header("'<f4'", "(1, 4)"), bytes(16))),
    "golden far from the answer": _golden(_zip({**SOUND, "0/output/y.npy": FAR})),
    "golden without outputs": _golden(_zip({"0/input/x.npy": X})),
    "golden with values too few": _input(X[:-1]),
    "golden with values too many": _input(X + b"\0"),
    "golden floor of another shape": _floor(_npy(_header("'<f8'", "(3,)"), bytes(24))),
    "golden floor of texts": _floor(_npy(_header("'<U1'", "(1, 2)"), b"a\0\0\0" * 2)),
    "golden floor of dates": _floor(_npy(_header("'<M8[s]'", "(1, 2)"), b"a\0\0\0\0\0\0\0" * 2)),
    "golden floor of no output": _golden(_zip({**SOUND, "0/floor/z.npy": Y})),
    "golden entry is no array": _golden(_zip({"0/input/x.txt": b"hello"})),
    "golden entry is text named an array": _input(b"hello"),
    "golden entry without slashes": _golden(_zip({"x.npy": X})),
    "golden entry of another kind": _golden(_zip({**SOUND, "0/what/x.npy": X})),
    "golden case with digits without end": _golden(_zip({f"{'9' * 5000}/input/x.npy": X})),
    "golden lzma corrupt": _golden(_lzma()),
    "golden bzip2": _golden(_zip(SOUND, zipfile.ZIP_BZIP2)),
    "golden encrypted": _golden(_flip(_zip(SOUND), {6: 1}, {8: 1})),
    "golden by method 99": _golden(_flip(_zip(SOUND), {8: 99}, {10: 99})),
    "golden for a later unzip": _golden(_flip(_zip(SOUND), {}, {6: 99})),
    "golden is no zip": _golden(b"hello"),
    "golden empty": _golden(b""),
    "golden truncated": _golden(_zip(SOUND)[:-30]),
    "golden name not UTF-8": _golden(_zip({"0/input/é.npy": X}).replace("é".encode(), b"\xff\xfe")),
    "golden of a million entries": _golden(_many_entries()),
    "golden of a gigabyte of zeros": _golden(_bomb()),
    "golden is /dev/zero": _instead("golden.npz", lambda path: path.symlink_to("/dev/zero")),
    "golden is a pipe": _instead("golden.npz", os.mkfifo),
    "golden is a folder": _instead("golden.npz", Path.mkdir),
    "golden is a link to itself": _instead("golden.npz", lambda path: path.symlink_to(path.name)),
    "golden is a link to nothing": _instead("golden.npz", lambda path: path.symlink_to("nothing")),
    "golden ends the process": _trap_in_samples,
    "manifest nested deep": _raw_manifest(b'{"format":1,"x":' + b"[" * 100_000),
    "manifest nested deep and closed": _raw_manifest(b'{"format":1,"x":' + b"[" * 5000 + b"]" * 5000 + b"}"),
    "manifest not UTF-8": _raw_manifest(b'{"format":1,"name":"\xff"}'),
    "manifest empty": _raw_manifest(b""),
    "manifest of a list": _raw_manifest(b"[]"),
    "manifest with an integer of 5000 digits": _raw_manifest(b'{"format":' + b"9" * 5000 + b"}"),
    "manifest of 32 MiB": _raw_manifest(b'{"format":1,"x":"' + b"x" * (32 << 20) + b'"}'),
    "manifest of a later format": _manifest(lambda manifest: manifest.update(format=99)),
    "manifest is /dev/zero": _instead("manifest.json", lambda path: path.symlink_to("/dev/zero")),
    "manifest is a pipe": _instead("manifest.json", os.mkfifo),
    "manifest is a folder": _instead("manifest.json", Path.mkdir),
    "manifest is a link to itself": _instead("manifest.json", lambda path: path.symlink_to(path.name)),
    "manifest is a link to nothing": _instead("manifest.json", lambda path: path.symlink_to("nothing")),
    "manifest without a limit": _manifest(lambda manifest: manifest["equivalence"].update(limit=None)),
    "manifest of a refused export": _manifest(lambda manifest: manifest["equivalence"].update(equivalent=False)),
    "manifest with a file outside": _manifest(lambda manifest: manifest["files"].update({"../../x": _DIGEST})),
    "manifest with an absolute file": _manifest(lambda manifest: manifest["files"].update({"/etc/passwd": _DIGEST})),
    "manifest with a file with NUL": _manifest(lambda manifest: manifest["files"].update({"a\0b": _DIGEST})),
    "manifest with a lone surrogate": _manifest(lambda manifest: manifest["files"].update({"a\ud800": _DIGEST})),
    "manifest with a file of 5000 letters": _manifest(lambda manifest: manifest["files"].update({"a" * 5000: _DIGEST})),
    "manifest with a file without a name": _manifest(lambda manifest: manifest["files"].update({"": _DIGEST})),
    "manifest with the folder as a file": _manifest(lambda manifest: manifest["files"].update({".": _DIGEST})),
    "manifest with a file that forges the log": _manifest(
        lambda manifest: manifest["files"].update({"a\nserving good version 9": _DIGEST})
    ),
    "manifest with a missing file": _manifest(lambda manifest: manifest["files"].update({"more.bin": _DIGEST})),
    "manifest with other inputs": _manifest(lambda manifest: manifest["inputs"][0].update(name="z")),
    "manifest with a nameless input": _manifest(lambda manifest: manifest["inputs"][0].update(name="")),
    "manifest with a negative size": _manifest(lambda manifest: manifest["inputs"][0].update(shape=["batch", -4])),
    "manifest with a size of 2^63": _manifest(lambda manifest: manifest["inputs"][0].update(shape=["batch", 2**63])),
    "manifest with another dtype": _manifest(lambda manifest: manifest["inputs"][0].update(dtype="int64")),
    "session key of 2000 letters": _config(**{"k" * 2000: "1"}),
    "session key empty": _config(**{"": "1"}),
    "session keys by the thousand": _config(**{f"session.x{number}": "1" * 100 for number in range(1500)}),
    "session key with NUL": _config(**{"session.x\0y": "1"}),
    "session value that is none": _config(**{"session.intra_op.allow_spinning": "maybe"}),
    "session writes the model": _config(**{"session.optimized_model_filepath": "pwned.onnx"}),
    "session writes statistics": _config(**{"session.collect_node_memory_stats_to_file": "pwned.csv"}),
    "session reads a file": _config(**{"session.resource_cuda_partitioning_settings": "100,/etc/passwd"}),
    "session affinity": _config(**{"session.intra_op_thread_affinities": "1;2;x"}),
    "session of another format": _config(**{"session.load_model_format": "ORT"}),
    "optimizers that are none": _manifest(lambda m: m.update(session={"disabled_optimizers": ["x\0y", "\ud800"]})),
    "serving.json nested deep": lambda folder: _write(folder.parent / "serving.json", b"[" * 100_000),
    "serving.json with an integer of 5000 digits": lambda folder: _write(
        folder.parent / "serving.json", b'{"labels":{"a":' + b"9" * 5000 + b"}}"
    ),
    "serving.json is /dev/zero": _instead("../serving.json", lambda path: path.symlink_to("/dev/zero")),
    "serving.json is a pipe": _instead("../serving.json", os.mkfifo),
    "serving.json is a folder": _instead("../serving.json", Path.mkdir),
    "model empty": _bare(b""),
    "model of noise": _bare(np.random.default_rng(0).bytes(5000)),
    "model of noise with a location": _bare(np.random.default_rng(1).bytes(500) + b"location" + bytes(500)),
    "model changed in one byte": lambda folder: _write(folder / "model.onnx", affine(0.5)),
    "model cut off": _bare(affine()[:-20]),
    "model with an operator that is none": _graph(
        model([node("NoSuchOperator", ["x"], ["y"])], ["x:float32[batch,3]"], ["y:float32[batch,2]"])
    ),
    "model of sequences": _bare(sequence()),
    "model that ends the process": _graph(_trap()),
    "model that ends the process, without a manifest": _bare(_trap()),
    "external data missing": _linked(lambda path, secret: None),
    "external data by a hard link": _linked(lambda path, secret: os.link(secret, path)),
    "external data by a hard link in an attribute": _linked(lambda path, secret: os.link(secret, path), attribute=True),
    "external data by a link out": _linked(lambda path, secret: path.symlink_to(secret)),
    "external data is /dev/zero": _linked(lambda path, secret: path.symlink_to("/dev/zero")),
    "external data is a pipe": _linked(lambda path, secret: os.mkfifo(path)),
    "external data above": _linked(lambda path, secret: None, "../../../secret-of-it"),
    "external data absolute": _linked(lambda path, secret: None, "/etc/passwd"),
    "external data in memory": _memory_address,
}
_DIGEST = {"size": 1, "sha256": "0"}


def _profile(**fields: object) -> Spoil:
    def spoil(folder: Path) -> None:
        document = {
            "created": "2026-01-01",
            "model_sha256": hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest(),
            "onnxruntime": "1",
            "provider": "cpu",
            "cpus": 1,
            "aim": "latency",
            "threads": 1,
            "optimization": "all",
            "max_batch": 8,
            "rows_per_second": 1.0,
            "latency_ms": 1.0,
            **fields,
        }
        (folder.parent / "1.profile.json").write_text(json.dumps(document))

    return spoil


HARMLESS: dict[str, Spoil] = {
    "profile nested deep": lambda folder: _write(folder.parent / "1.profile.json", b'{"created":' + b"[" * 100_000),
    "profile is /dev/zero": _instead("../1.profile.json", lambda path: path.symlink_to("/dev/zero")),
    "profile is a pipe": _instead("../1.profile.json", os.mkfifo),
    "profile with -5 threads": _profile(threads=-5),
    "profile with 10^30 threads": _profile(threads=10**30),
    "profile with batches of -1": _profile(max_batch=-1),
    "manifest of a huge version": _manifest(lambda manifest: manifest.update(version=10**30)),
    "model of a long chain": _bare(_chain(5_000)),
    "a pipe beside the files": lambda folder: os.mkfifo(folder / "pipe"),
    "a link to itself beside the files": lambda folder: (folder / "loop").symlink_to("loop"),
    "a link to the root beside the files": lambda folder: (folder / "root").symlink_to("/"),
}


def slug(title: str) -> str:
    """A title as the name of a model."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def publish(repository: Path, title: str, spoil: Spoil) -> Path:
    """One of them, complete when it appears in the repository."""
    aside = repository.parent / f"{repository.name}-aside"
    shutil.rmtree(aside, ignore_errors=True)
    name = slug(title)
    spoil(publish_affine(aside, name))
    repository.mkdir(exist_ok=True)
    return (aside / name).rename(repository / name)


def publish_all(repository: Path) -> list[str]:
    """All of them, those of `HARMLESS` too; returns the names of those that cannot be served."""
    for title, spoil in {**BAD, **HARMLESS}.items():
        publish(repository, title, spoil)
    return [slug(title) for title in BAD]
