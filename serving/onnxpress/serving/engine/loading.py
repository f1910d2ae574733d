"""`onnxpress.load`: a model in this process, checked as the server checks it before it answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from onnxpress.core.version_folder import check_files, locate_one, read_manifest
from onnxpress.serving.engine.engine import Engine


def load(
    path: str | Path, *, provider: str = "cpu", threads: int | None = None, custom_ops: Sequence[str | Path] = ()
) -> Engine:
    """Load a model to call it: `load("models/iris")(features=rows)` gives output name → array.

    `path` is an `.onnx` file, a version folder, a model folder (its latest version) or a repository of one model. Files
    are held against the manifest's digests, and the golden samples replayed; `Engine.self_test` says how far from the
    reference they are on this machine, in noise floors. A file without a manifest is loaded as it is, and `self_test`
    is None. `provider` is `cpu` or `cuda`; `threads` defaults to the CPUs that this process may use; `custom_ops` are
    shared libraries with operators of your own.

    Shapes and dtypes are the model's own: `Engine.inputs` and `Engine.outputs` list them as TensorSpec, with names for
    sizes that vary. See `Engine.__call__` for what is taken and given, and `Engine.manifest` for labels and evidence.

    Raises BadModel where there is no model, the runtime refuses it or the self-test fails, CorruptVersion where a file
    is not the one that was published, UsageError where there are several models, MissingExtra without ONNX Runtime.

    >>> engine = onnxpress.load("models/iris")
    >>> print(*engine.inputs)
    features:float32[batch,4]
    >>> engine(features=[[5.1, 3.5, 1.4, 0.2]])["label"]
    array(['setosa'], dtype=object)
    """
    _, _, model = locate_one(Path(path))
    manifest = read_manifest(model.parent)
    if manifest is not None:
        check_files(model.parent, manifest)
    return Engine.load(model, provider=provider, threads=threads, custom_ops=[str(library) for library in custom_ops])
