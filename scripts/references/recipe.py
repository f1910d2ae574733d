"""docs/recipe-reference.md: every field of a recipe, from the structs that read it and the words below their fields."""

from __future__ import annotations

import ast
import functools
import inspect
import sys
from collections.abc import Iterator
from typing import Any, get_args

import msgspec
from scripts.references.markdown import MADE, table, value

from onnxpress.core.fields import Field, fields_of, kind_words, range_words
from onnxpress.core.processing import Step as AnyStep
from onnxpress.core.processing.step import Step
from onnxpress.training.data.sources import Data
from onnxpress.training.families import Family
from onnxpress.training.recipe import Recipe
from onnxpress.training.settings import Training

Struct = type[msgspec.Struct]

_INTRODUCTION = """\
# The fields of a recipe

{made}

A recipe is a YAML or JSON file. [Training](training.md) says how to use one. A field without a default must be given. A
name that is not known is refused, with the one that was probably meant. `--set training.epochs=5` changes one field.
"""


def page() -> str:
    """The whole page."""
    parts = [_INTRODUCTION.format(made=MADE.format(what="types in onnxpress.training"))]
    parts.append(_section("## ", "The recipe", Recipe))
    for title, structs in (
        ("The model", list(get_args(Family))),
        ("The data", list(get_args(Data))),
        ("The training", [Training]),
    ):
        parts.append(f"## {title}\n")
        parts += [_section("### ", _title(struct), struct) for struct in structs]
    parts.append("## Parts of these\n")
    parts += [_section("### ", _title(struct), struct) for struct in _parts()]
    return "\n".join(parts)


def _title(struct: Struct) -> str:
    """A family and a source are called by their tag, all else by its name."""
    config = struct.__struct_config__
    return f"{config.tag_field}: {config.tag}" if config.tag_field else struct.__name__


def _section(level: str, title: str, struct: Struct) -> str:
    words = inspect.cleandoc(struct.__doc__ or "")
    rows = [_row(field, described(struct).get(field.name, "")) for field in fields_of(struct)]
    fields = table(["field", "takes", "default", "what it is"], rows) if rows else "It has no fields."
    return f"{level}{title}\n\n{words}\n\n{fields}\n"


def _row(field: Field, words: str) -> list[str]:
    takes, within = kind_words(field.annotation, _links()), range_words(field.annotation)
    default = "required" if field.default is msgspec.NODEFAULT else value(field.default)
    return [f"`{field.name}`", f"{takes}, {within}" if within else takes, default, words]


def structs() -> tuple[Struct, ...]:
    """Every struct that has a section."""
    return (Recipe, *get_args(Family), *get_args(Data), Training, *_parts())


@functools.cache
def _links() -> dict[Any, str]:
    """Struct → a link to where it is described."""
    links: dict[Any, str] = {AnyStep: "[steps](steps.md)", Any: "values"}
    for struct in structs():
        title = _title(struct)
        anchor = "".join(letter for letter in title.lower() if letter.isalnum() or letter in " -_").replace(" ", "-")
        shown = str(struct.__struct_config__.tag) if struct.__struct_config__.tag_field else title
        links[struct] = f"[{shown}](#{anchor})"
    return links


@functools.cache
def _parts() -> tuple[Struct, ...]:
    """The structs within a recipe's own, in the order in which they are met; steps have a page of their own."""
    known = (Recipe, *get_args(Family), *get_args(Data), Training)
    found: dict[Struct, None] = {}
    waiting = list(known)
    while waiting:
        for field in fields_of(waiting.pop(0)):
            for struct in _structs(field.annotation):
                if struct not in known and struct not in found and not issubclass(struct, Step):
                    found[struct] = None
                    waiting.append(struct)
    return tuple(found)


def _structs(annotation: Any) -> Iterator[Struct]:
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        yield annotation
    for part in get_args(annotation):
        yield from _structs(part)


@functools.cache
def described(struct: Struct) -> dict[str, str]:
    """Field → the text below it, of the struct and of what it inherits from."""
    found: dict[str, str] = {}
    for owner in reversed(struct.__mro__):
        if not (isinstance(owner, type) and issubclass(owner, msgspec.Struct)) or owner is msgspec.Struct:
            continue
        tree = ast.parse(inspect.getsource(sys.modules[owner.__module__]))
        (node,) = (one for one in tree.body if isinstance(one, ast.ClassDef) and one.name == owner.__name__)
        for before, after in zip(node.body, node.body[1:], strict=False):
            if (
                isinstance(before, ast.AnnAssign)
                and isinstance(before.target, ast.Name)
                and isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
            ):
                found[before.target.id] = " ".join(str(after.value.value).split())
    return found
