"""A drafted recipe as text: its name, its lines, and texts that YAML reads back as they are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*( [A-Za-z0-9_./-]+)*")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "none", "nan"})
_NOT_PRINTABLE = re.compile("[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
"""what YAML takes in an escape alone, or as a line's end"""
_SHOWN = 6


@dataclass(frozen=True)
class Draft:
    """A recipe's text, and what its author had to guess."""

    text: str
    said: tuple[str, ...]


def scalar(text: str) -> str:
    """The text in YAML, on one line.

    >>> scalar("bill length"), scalar("no"), scalar("a: b"), scalar("12")
    ('bill length', '"no"', '"a: b"', '"12"')
    """
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return _NOT_PRINTABLE.sub(lambda one: f"\\U{ord(one[0]):08x}", json.dumps(text, ensure_ascii=False))


def document_text(document: dict[str, Any]) -> str:
    """The document in YAML, its texts in quotes wherever a reader could take them for something else."""
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    def represent(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
        plain = scalar(text) == text
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')

    Dumper.add_representer(str, represent)
    return yaml.dump(document, Dumper=Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)


def name_of(path: Path) -> str:
    """What a recipe is called that is drafted from this file."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", path.stem).strip("-.")[:100] or "model"


def counted(values: Sequence[tuple[str, int]]) -> str:
    """Labels with how often each came, the first six of them.

    >>> counted([("benign", 90), ("malignant", 10)])
    "'benign' 90, 'malignant' 10"
    """
    shown = ", ".join(f"{value!a} {count}" for value, count in values[:_SHOWN])
    return shown if len(values) <= _SHOWN else f"{shown} and {len(values) - _SHOWN} more"


def indented(lines: Iterable[str]) -> list[str]:
    """The lines of a group."""
    return [f"  {line}" for line in lines]
