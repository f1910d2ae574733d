"""Where the records of a JSON document are: the name of the field, as a recipe's `data.records` has it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from onnxpress.core.errors import BadData
from onnxpress.core.optional import require


def place_of(path: Path) -> str:
    """The path of the first list of objects in the document, or "" where it is itself that list or holds none.

    Raises BadData for what is not JSON.
    """
    ijson = require("ijson", needed_by="streaming a JSON file")
    try:
        with path.open("rb") as file:
            return _place(iter(ijson.basic_parse(file, use_float=True)))
    except ijson.JSONError as error:
        raise BadData(f"is not JSON: {str(error).splitlines()[0]}", where=str(path)) from None
    except OSError as error:
        raise BadData(f"cannot be read: {error.strerror}", where=str(path)) from None


def _place(events: Iterator[tuple[str, Any]]) -> str:
    keys: list[str] = []
    for event, value in events:
        if event == "start_map":
            keys.append("")
        elif event == "end_map":
            keys.pop()
            if len(keys) == 1 and keys[0].lower() not in _HEADER:
                return ""  # a field that is an object without a list of objects: the records are such fields
        elif event == "map_key":
            keys[-1] = value
        elif event == "start_array":
            within, _ = next(events, ("", None))
            if within == "start_map" or not keys:
                return ".".join(keys)
            depth = int(within != "end_array")
            while depth:  # a list of values tells nothing
                within, _ = next(events, ("end_array", None))
                depth += (within == "start_array") - (within == "end_array")
    return ""


_HEADER = frozenset({"meta", "metadata", "info", "header"})
"""objects that come before the records and are none"""
