"""Precomputed vectors, images or windows, with a label each, from an `.npz` file."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData
from onnxpress.training.data.table import Reading, Table
from onnxpress.training.data.windows import WINDOWS

_KINDS = {
    "vectors": ((2,), "(rows, width)"),
    "images": ((4,), "(rows, height, width, channels)"),
    WINDOWS: ((2, 3), "(rows, time, channels) or (rows, time)"),
}
"""name → how many axes it has, and what they are"""


class Vectors(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="npz", tag_field="source"):
    """As `numpy.savez` writes them: `labels` (rows,) of text or whole numbers, and one of three.

    `vectors` (rows, width) of floats, `images` (rows, height, width, channels) of uint8, or `windows` (rows, time,
    channels) of numbers, or (rows, time) of one channel.
    """

    path: str
    """of the file, from the recipe's folder"""
    arrays: dict[str, str] = {}
    """what arrays of other names are: `{X: windows, y: labels, subject: groups}`; of one group no rows are divided
    between training and test"""

    def load(self, reading: Reading | None = None) -> Table:
        """Read it without pickle. Raises BadData saying what is wrong, with the first bad row."""
        path = Path(self.path)
        arrays = self.arrays_by_name()
        kinds = [name for name in _KINDS if name in arrays]
        if len(kinds) != 1 or "labels" not in arrays:
            raise BadData(
                f"holds {', '.join(arrays) or 'nothing'}",
                where=str(path),
                hint="give labels, and one of vectors, images and windows; data.arrays says what others are",
            )
        name = kinds[0]
        rows, labels = arrays[name], arrays["labels"]
        if labels.dtype.kind == "f" and np.isfinite(labels).all() and (labels == np.rint(labels)).all():
            labels = labels.astype(np.int64)
        if labels.dtype.kind not in "iubUS":
            raise BadData(f"labels are {labels.dtype}", where=str(path), hint="text or whole numbers")
        labels, groups = labels.astype(np.str_), arrays.get("groups")
        axes, shape = _KINDS[name]
        sizes = {labels.shape, rows.shape[:1], rows.shape[:1] if groups is None else groups.shape}
        if rows.ndim not in axes or len(sizes) > 1 or not len(labels):
            given = "" if groups is None else f" and groups of shape {groups.shape}"
            raise BadData(
                f"{name} of shape {rows.shape} with labels of shape {labels.shape}{given}",
                where=str(path),
                hint=f"{shape} and (rows,)",
            )
        return Table({name: _checked(name, rows, path)}, labels, None if groups is None else groups.astype(np.str_))

    def arrays_by_name(self) -> dict[str, Array]:
        """All that the file holds, under the names that this source knows. Raises BadData where it cannot be read."""
        path = Path(self.path)
        try:
            with np.load(path, allow_pickle=False) as archive:
                lacking = sorted(self.arrays.keys() - set(archive.files))
                if lacking:
                    raise BadData(
                        f"no array {lacking[0]!r}", where=str(path), hint=f"it has: {', '.join(archive.files)}"
                    )
                return {self.arrays.get(name, name): archive[name] for name in archive.files}
        except BadData:
            raise
        except FileNotFoundError:
            raise BadData("no such file", where=str(path)) from None
        except Exception as error:  # numpy raises many kinds for a torn or foreign file
            hint = (
                "save texts as np.asarray(values, str): objects are a pickle" if "bject arrays" in str(error) else None
            )
            raise BadData(f"cannot be read as .npz: {error}", where=str(path), hint=hint) from None


def _checked(name: str, rows: Array, path: Path) -> Array:
    """The rows as tables have them. Raises BadData for other types, and for the first row that is not finite."""
    if name == "images":
        if rows.dtype != np.uint8 or not rows.size:
            raise BadData(f"images of {rows.dtype}, shape {rows.shape}", where=str(path), hint="uint8, 0 to 255")
        return rows
    if rows.dtype.kind not in "iuf":
        raise BadData(f"{name} of {rows.dtype}", where=str(path), hint="numbers")
    with np.errstate(over="ignore"):  # it becomes infinite, which is said below
        whole: Array = rows.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(whole.reshape(len(whole), -1)).all(axis=1))
    if bad.size:
        raise BadData(f"row {bad[0]} of {name} is not finite", where=str(path))
    return whole[:, :, None] if name == WINDOWS and whole.ndim == 2 else whole
