"""The type of a numpy array whose shape and dtype a docstring or a name tells."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
