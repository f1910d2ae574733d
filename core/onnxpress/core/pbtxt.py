"""Protobuf's text format, as Triton's `config.pbtxt` is written in it, read without a schema.

    name: "iris"
    dynamic_batching { preferred_batch_size: [ 4, 8 ] }

A field that occurs several times has several values, and so has one with a list; every field is a list here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from onnxpress.core.errors import BadModel
from onnxpress.core.files import read_regular

_MOST_BYTES = 1 << 20
_DEEPEST = 30
_TOKEN = re.compile(
    r"""(?:\s|\#[^\n]*(?:\n|$))*
    (?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<number>-?(?:0[xX][0-9a-fA-F]{1,16}
        |(?:[0-9]{1,20}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][-+]?[0-9]{1,4})?[fF]?))
    | (?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    | (?P<sign>[{}<>\[\]:,;-]))""",
    re.VERBOSE,
)
_ESCAPED = re.compile(r"\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}

Message = dict[str, list[Any]]
"""name of a field → its values: numbers, texts (an enumeration's names and true, false too), messages"""


def read(path: Path) -> Message:
    """The message in a file. Raises BadModel, with the line, where it cannot be read."""
    try:
        text = read_regular(path, _MOST_BYTES).decode("utf-8")
    except OSError as error:
        raise BadModel(f"it cannot be read: {error.strerror or error}", where=str(path)) from None
    except UnicodeDecodeError as error:
        raise BadModel(f"it is not UTF-8 text: {error}", where=str(path)) from None
    try:
        return parse(text)
    except ValueError as error:
        raise BadModel(f"it cannot be read: {error}", where=str(path)) from None


def parse(text: str) -> Message:
    """The message in a text. Raises ValueError, with the line.

    >>> parse('name: "iris" dynamic_batching { preferred_batch_size: [4, 8] }')
    {'name': ['iris'], 'dynamic_batching': [{'preferred_batch_size': [4, 8]}]}
    """
    return _Reader(text).message("")


class _Reader:
    def __init__(self, text: str) -> None:
        self._text, self._at, self._depth = text, 0, 0
        self._kind, self._token = "", ""
        self._next()

    def _next(self) -> None:
        match = _TOKEN.match(self._text, self._at)
        if match is None:
            rest = re.compile(r"(?:\s|#[^\n]*(?:\n|$))*").match(self._text, self._at)
            self._at = rest.end() if rest else self._at
            self._kind, self._token = "", ""
            if self._at < len(self._text):
                raise self._wrong(f"{self._text[self._at]!r} is unexpected")
            return
        self._at = match.end()
        self._kind = match.lastgroup or ""
        self._token = match[self._kind]

    def _wrong(self, why: str) -> ValueError:
        return ValueError(f"line {self._text.count(chr(10), 0, self._at) + 1}: {why}")

    def _takes(self, sign: str) -> bool:
        if self._kind == "sign" and self._token == sign:
            self._next()
            return True
        return False

    def message(self, end: str) -> Message:
        """Fields up to the closing sign, or to the end of the text."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._wrong("messages are nested too deep")
        found: Message = {}
        while not (self._kind == "sign" and self._token == end) if end else self._kind:
            if self._kind != "name":
                raise self._wrong("expected the name of a field" + (f", or {end!r}" if end else ""))
            name = self._token
            self._next()
            colon = self._takes(":")
            values = found.setdefault(name, [])
            if self._takes("["):
                while not self._takes("]"):
                    values.append(self._value(colon=True))
                    if not self._takes(",") and self._token != "]":
                        raise self._wrong("expected ',' or ']'")
            else:
                values.append(self._value(colon))
            if not self._takes(","):
                self._takes(";")
        if end:
            self._next()
        self._depth -= 1
        return found

    def _value(self, colon: bool) -> Any:
        for begin, end in (("{", "}"), ("<", ">")):
            if self._takes(begin):
                return self.message(end)
        kind, token = self._kind, self._token
        if not colon or not kind or (kind == "sign" and token != "-"):
            raise self._wrong("expected a value")
        self._next()
        if kind == "text":
            value = _unescaped(token)
            while self._kind == "text":  # texts beside one another are one
                value += _unescaped(self._token)
                self._next()
            return value
        if kind == "number":
            return _number(token)
        if kind == "sign":  # -inf
            name = self._token
            self._next()
            return f"-{name}"
        return token


def _number(token: str) -> int | float:
    if re.fullmatch(r"-?[0-9]+", token):
        return int(token)
    if "x" in token or "X" in token:
        return int(token, 16)
    return float(token.rstrip("fF"))


def _unescaped(token: str) -> str:
    def one(match: re.Match[str]) -> str:
        code = match[1]
        if code[0] == "x" and len(code) > 1:
            return chr(int(code[1:], 16))
        return chr(int(code, 8)) if code[0] in "01234567" else _ESCAPES.get(code, code)

    return _ESCAPED.sub(one, token[1:-1])
