"""What cannot be carried: the line it stands in, and the correspondence that is missing."""

from __future__ import annotations

from onnxpress.core.errors import BadModel


class NoCorrespondence(BadModel):
    """A layer, function or way of calling one that the table has no row for; nothing is written.

    `where` is the line of the source (`nets.py:12`) or the layer's path, `hint` what is possible instead.
    """
