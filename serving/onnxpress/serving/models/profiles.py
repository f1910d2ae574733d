"""What `tune` found best for a version on a machine, kept beside the version, and how it goes into what is served.

The file is `<model>/<version>.profile.json`, beside the version's folder, which stays as it was published; of a lone
`.onnx` file it is `<stem>.profile.json`. A profile counts only where it was measured: for this file, with this runtime,
provider and number of CPUs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from onnxpress.core import decoders
from onnxpress.core.files import read_regular, sha256
from onnxpress.core.manifest import Manifest, SessionSettings, most_together
from onnxpress.core.version_folder import in_version_folder, read_manifest
from onnxpress.serving.engine.threads import available_cpus

MAX_ROWS = 64
"""rows run together, where nobody says otherwise"""


_MOST_BYTES = 1 << 20
_Count = Annotated[int, msgspec.Meta(ge=1, le=1 << 16)]


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """The best that was measured, and for what."""

    created: str
    model_sha256: str
    onnxruntime: str
    provider: str
    cpus: _Count
    aim: Literal["throughput", "latency"]
    threads: _Count
    optimization: Literal["none", "basic", "extended", "all"]
    max_batch: Annotated[int, msgspec.Meta(ge=1, le=1 << 20)]
    rows_per_second: float
    """at `max_batch`"""
    latency_ms: float
    """of one row alone"""


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """With what a version is served, each with the reason."""

    threads: int
    threads_why: str
    settings: SessionSettings
    optimization_why: str
    max_rows: int
    max_rows_why: str
    tuned: bool
    """whether a profile counts"""
    profile: str
    """what became of the profile, in a few words"""


def path_of(model: Path) -> Path:
    """Where the profile of this model file lies, or would."""
    if in_version_folder(model):
        folder = model.parent.absolute()
        return folder.parent / f"{folder.name}.profile.json"
    return model.with_suffix(".profile.json")


def digest(model: Path, manifest: Manifest | None) -> str:
    """The model file's SHA-256, from the manifest where there is one."""
    known = manifest.files.get(model.name) if manifest else None
    return known.sha256 if known else sha256(model)


def read(model: Path, manifest: Manifest | None, provider: str) -> tuple[Profile | None, str]:
    """The profile, if there is one that counts here; and in words what became of it."""
    path = path_of(model)
    try:
        profile = decoders.of_json(Profile).decode(read_regular(path, _MOST_BYTES))
    except FileNotFoundError:
        return None, "there is none; onnxpress tune measures one"
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError) as error:
        return None, f"{path.name} cannot be read: {error}"
    for what, there, here in (
        ("the provider", profile.provider, provider),
        ("CPUs", profile.cpus, available_cpus()),
        ("onnxruntime", profile.onnxruntime, runtime_version()),
        ("the model file", profile.model_sha256[:12], digest(model, manifest)[:12]),
    ):
        if there != here:
            return None, f"{path.name} does not count: measured with {what} {there}, here {here}"
    return profile, f"{path.name}, measured {profile.created} for {profile.aim}"


def runtime_version() -> str:
    """Of the ONNX Runtime that is installed."""
    from onnxpress.serving.engine.runtime import onnxruntime

    version: str = onnxruntime().__version__
    return version


def choose(
    model: Path,
    *,
    provider: str = "cpu",
    threads: int | None = None,
    share: int | None = None,
    max_rows: int | None = None,
) -> Chosen:
    """With what to serve this model file. What the caller says goes before the profile, the profile before the rest.

    `share` is the most threads that are there for it when nobody said how many. Raises CorruptVersion where the
    manifest cannot be read.
    """
    manifest = read_manifest(model.parent)
    profile, found = read(model, manifest, provider)
    settings = manifest.session if manifest else SessionSettings()
    most = share or available_cpus()
    threads_why = "--threads"
    if threads is None:
        threads = most
        threads_why = "the CPUs that the cgroup and the affinity mask leave to this process"
        if profile is not None:
            threads, threads_why = min(profile.threads, most), "the profile"
    optimization_why = "it was measured so; the manifest says" if manifest else "ONNX Runtime's default; no manifest"
    if profile is not None and profile.optimization != settings.optimization:
        settings = msgspec.structs.replace(settings, optimization=profile.optimization)
        optimization_why = "the profile; the golden samples are replayed with it"
    rows_why = "--max-batch"
    if max_rows is None:
        max_rows, rows_why = MAX_ROWS, "the default of --max-batch"
        if profile is not None:
            max_rows, rows_why = profile.max_batch, "the profile"
    if (measured := most_together(manifest)) is not None and measured < max_rows:
        max_rows, rows_why = measured, "so many were measured together, and nothing proves that more answer as alone"
    return Chosen(
        threads=threads,
        threads_why=threads_why,
        settings=settings,
        optimization_why=optimization_why,
        max_rows=max_rows,
        max_rows_why=rows_why,
        tuned=profile is not None,
        profile=found,
    )
