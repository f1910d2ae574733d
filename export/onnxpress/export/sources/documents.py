"""Reading a user's YAML or JSON file, by its ending."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from onnxpress.core.errors import UsageError
from onnxpress.core.optional import require


def read(path: Path) -> Any:
    """The document. Raises UsageError where there is none, with the line that cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text) if path.suffix.lower() == ".json" else _yaml(text)
    except OSError as error:
        raise UsageError(f"it cannot be read: {error.strerror}", where=str(path)) from None
    except ValueError as error:
        raise UsageError(f"it cannot be read: {error}", where=str(path)) from None


def _yaml(text: str) -> Any:
    yaml = require("yaml", needed_by="reading a YAML file")
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
