"""Precomputed vectors with a label each, from an `.npz` file."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from onnxpress.core.errors import BadData
from onnxpress.training.data.table import Reading, Table


class Vectors(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="npz", tag_field="source"):
    """`vectors` (rows, width) of floats and `labels` (rows,) of text, as `numpy.savez` writes them."""

    path: str

    def load(self, reading: Reading | None = None) -> Table:
        """Read it without pickle. Raises BadData saying what is wrong, with the first bad row."""
        path = Path(self.path)
        try:
            with np.load(path, allow_pickle=False) as archive:
                found = {name: archive[name] for name in archive.files}
        except FileNotFoundError:
            raise BadData("no such file", where=str(path)) from None
        except Exception as error:  # numpy raises many kinds for a torn or foreign file
            raise BadData(f"cannot be read as .npz: {error}", where=str(path)) from None
        if {"vectors", "labels"} - found.keys():
            raise BadData(
                f"holds {', '.join(found) or 'nothing'}", where=str(path), hint="give the arrays vectors and labels"
            )
        vectors, labels = found["vectors"].astype(np.float32), found["labels"].astype(np.str_)
        if vectors.ndim != 2 or labels.shape != vectors.shape[:1] or not len(labels):
            raise BadData(
                f"vectors of shape {vectors.shape} with labels of shape {labels.shape}",
                where=str(path),
                hint="(rows, width) and (rows,)",
            )
        bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if bad.size:
            raise BadData(f"row {bad[0]} of vectors is not finite", where=str(path))
        return Table({"vectors": vectors}, labels)
