"""Precomputed vectors, or images, with a label each, from an `.npz` file."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from onnxpress.core.errors import BadData
from onnxpress.training.data.table import Reading, Table


class Vectors(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="npz", tag_field="source"):
    """As `numpy.savez` writes them: `labels` (rows,) of text, and one of two.

    `vectors` (rows, width) of floats, or `images` (rows, height, width, channels) of uint8.
    """

    path: str
    """of the file, from the recipe's folder"""

    def load(self, reading: Reading | None = None) -> Table:
        """Read it without pickle. Raises BadData saying what is wrong, with the first bad row."""
        path = Path(self.path)
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
        except FileNotFoundError:
            raise BadData("no such file", where=str(path)) from None
        except Exception as error:  # numpy raises many kinds for a torn or foreign file
            raise BadData(f"cannot be read as .npz: {error}", where=str(path)) from None
        name = "images" if "images" in arrays else "vectors"
        if {name, "labels"} - arrays.keys() or {"images", "vectors"} <= arrays.keys():
            raise BadData(
                f"holds {', '.join(arrays) or 'nothing'}",
                where=str(path),
                hint="give the arrays vectors and labels, or images and labels",
            )
        rows, labels = arrays[name], arrays["labels"].astype(np.str_)
        shape, axes = ("(rows, width)", 2) if name == "vectors" else ("(rows, height, width, channels)", 4)
        if rows.ndim != axes or labels.shape != rows.shape[:1] or not len(labels):
            raise BadData(
                f"{name} of shape {rows.shape} with labels of shape {labels.shape}",
                where=str(path),
                hint=f"{shape} and (rows,)",
            )
        if name == "images":
            if rows.dtype != np.uint8 or not rows.size:
                raise BadData(f"images of {rows.dtype}, shape {rows.shape}", where=str(path), hint="uint8, 0 to 255")
            return Table({name: rows}, labels)
        vectors = rows.astype(np.float32)
        bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if bad.size:
            raise BadData(f"row {bad[0]} of vectors is not finite", where=str(path))
        return Table({name: vectors}, labels)
