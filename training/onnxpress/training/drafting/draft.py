"""A recipe drafted from a file: its columns, the target as far as it can be told, and a family that reads them.

What was told is written beside each line, and what had to be guessed is said, so that a person can mend it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from onnxpress.core import csv_text
from onnxpress.core.errors import BadData, UsageError
from onnxpress.core.spelling import did_you_mean
from onnxpress.training.data import csv_file, json_file
from onnxpress.training.data.delimited import Dialect, Rows
from onnxpress.training.drafting import arrays, carried, records
from onnxpress.training.drafting import column as columns
from onnxpress.training.drafting.column import Column
from onnxpress.training.drafting.written import Draft, counted, indented, name_of, scalar
from onnxpress.training.families import autoencoder, tabular

ROWS = 20_000
"""that are read of a file; a draft needs no more"""
FAMILIES = ("tabular", "autoencoder", "cnn-lstm-attention")
"""those that a table can be read by"""
_TARGETS = (
    "target",
    "label",
    "labels",
    "class",
    "y",
    "outcome",
    "category",
    "species",
    "diagnosis",
    "is_fraud",
    "fraud",
)
_TARGET_LIKE = re.compile(r"^(is|has)_|(_|^)(label|class|target)$")
_FEW = 8
"""categories that are written one-hot; more of them are embedded"""
_LEAST = 5
"""rows that a label needs, to be in every part"""
_RARE = 5.0
"""times as many rows of the largest class as of the smallest, from which classes are weighted"""


def of_file(path: Path, *, place: str, family: str | None = None, target: str | None = None) -> Draft:
    """The draft of a recipe that stands where `place` leads to the file.

    Raises BadData with the file for what cannot be read, UsageError for a family that does not read such a file.
    """
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return arrays.draft(path, place=place, family=family)
    if suffix not in (*csv_file.SUFFIXES, *json_file.SUFFIXES):
        known = ", ".join((*csv_file.SUFFIXES, *json_file.SUFFIXES, ".npz"))
        raise UsageError(f"cannot draft from {suffix or 'a file without a suffix'}", where=str(path), hint=known)
    if family is not None and family not in FAMILIES and not (family == "cnn14" and suffix in json_file.SUFFIXES):
        raise UsageError(f"{family} does not read a table of columns", where=str(path), hint=", ".join(FAMILIES))
    if suffix in json_file.SUFFIXES:
        within = records.place_of(path) if suffix == ".json" else ""
        if family in (None, "cnn14") and _are_events(path, within):
            return _events(path, place)
        source, found = _read_json(path, within)
    else:
        source, found = _read_csv(path)
    if not found or not found[0].rows:
        raise BadData("there are no rows to draft from", where=str(path))
    return _Drafting(path, place, source, found, family, target).draft()


def _read_json(path: Path, within: str) -> tuple[list[str], list[Column]]:
    """What else the source is told, as lines of YAML, and the file's columns; its records are at `within`."""
    lines = ["source: json", *([f"records: {scalar(within)}"] if within else [])]
    found = itertools.islice(_records(path, within), ROWS)
    return lines, columns.of_rows(_flat(record) for record, _ in found)


def _read_csv(path: Path) -> tuple[list[str], list[Column]]:
    """As `_read_json`, of a CSV file."""
    rows, table = _table(path, ".")
    dialect = {} if rows.told.delimiter == "," else {"delimiter": scalar(rows.told.delimiter)}
    if dialect:
        _, other = _table(path, ",")
        if sum(one.numeric for one in other) > sum(one.numeric for one in table):
            table, dialect["decimal"] = other, scalar(",")
    told = ", ".join(f"{name}: {value}" for name, value in dialect.items())
    return ["source: csv", *([f"dialect: {{{told}}} # told from the first lines"] if dialect else [])], table


def _table(path: Path, decimal: str) -> tuple[Rows, list[Column]]:
    """A CSV file's columns, but those whose name stands twice: such a column cannot be named."""
    rows = Rows(path, Dialect())
    read = (dict(zip(rows.header, row, strict=True)) for row in itertools.islice(rows, ROWS))
    found = columns.of_rows(read, decimal=decimal)
    csv_text.refuse_numbers(filter(None, rows.header), str(path))
    return rows, [one for one in found if rows.header.count(one.name) == 1]


def _records(path: Path, within: str) -> Iterator[tuple[dict[str, object], str]]:
    """The records, one after the other, each with its place."""
    return iter(json_file.JsonFile(path=str(path), records=within).records_of(path))


def _are_events(path: Path, within: str) -> bool:
    """Whether a record has datapoints, as the Open Seizure Database's events have; some may be without."""
    first = itertools.islice(_records(path, within), 10)
    return any(isinstance(record.get("datapoints"), list) for record, _ in first)


def _events(path: Path, place: str) -> Draft:
    """The recipe that onnxpress carries for such files, with this one in it."""
    text = carried.find("osdb").read_text(encoding="utf-8")
    text = re.sub(r"^# Data: .*\n(# .*\n)*", f"# Events of {path.name!a}.\n", text, flags=re.MULTILINE)
    text = re.sub(r"^name: .*", lambda _: f"name: {scalar(name_of(path))}", text, flags=re.MULTILINE)
    text = re.sub(r"^  path: .*", lambda _: f"  path: {scalar(place)}", text, flags=re.MULTILINE)
    return Draft(text, ("its events are read as the Open Seizure Database's: the label is their field 'type'",))


def _flat(record: Mapping[str, object], before: str = "") -> dict[str, object]:
    """Fields within fields by their path, as data.source json names them; lists are left out."""
    found: dict[str, object] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{before}{name}.")
        elif not isinstance(value, list):
            found[f"{before}{name}"] = value
    return found


class _Drafting:
    def __init__(
        self, path: Path, place: str, source: list[str], found: list[Column], family: str | None, target: str | None
    ) -> None:
        self._path, self._place, self._source = path, place, source
        self._columns, self._said = found, list[str]()
        self._target = self._find_target(target, needed=family != "autoencoder")
        self._features = [one for one in found if one is not self._target]
        self._family = family or self._guess_family()

    def draft(self) -> Draft:
        family = {"tabular": self._tabular, "autoencoder": self._autoencoder, "cnn-lstm-attention": self._characters}
        rows = self._columns[0].rows
        target = [] if self._target is None else [f"target: {scalar(self._target.name)} # {self._target_words()}"]
        lines = [
            f"# Drafted from {self._path.name!a}, {'its first ' if rows == ROWS else ''}{rows} rows.",
            f"name: {scalar(name_of(self._path))}",
            "framework: pytorch # or tensorflow",
            "model:",
            *indented([f"family: {self._family}", *family[self._family]()]),
            "data:",
            *indented([self._source[0], f"path: {scalar(self._place)}", *target, *self._kept(), *self._source[1:]]),
            "training:",
            *indented(self._training()),
        ]
        return Draft("\n".join(lines) + "\n", tuple(self._said))

    def _find_target(self, wanted: str | None, *, needed: bool) -> Column | None:
        by_name = {one.name: one for one in self._columns}
        if wanted is not None:
            if wanted not in by_name:
                hint = did_you_mean(wanted, list(by_name), "it has")
                raise UsageError(f"no column {wanted!r}", where=str(self._path), hint=hint)
            return by_name[wanted]
        unusable = ("empty", "constant", "identifier", "text", "mixed")
        usable = [one for one in self._columns if one.name and one.kind not in unusable]
        for one in (*_named_so(usable), *(one for one in usable if _TARGET_LIKE.search(one.name.lower()))):
            self._said.append(f"{one.name!r} is taken for the target by its name; --target says otherwise")
            return one
        if not needed:
            return None
        if not usable or len(self._columns) < 2:
            told = ", ".join(f"{one.name!r} is {one.words()}" for one in self._columns[:4])
            raise BadData(
                f"no column can be a target: {told}",
                where=str(self._path),
                hint="--target COLUMN names it; init autoencoder needs none",
            )
        self._said.append(f"no column is named as a target, so the last is taken, {usable[-1].name!r}; see --target")
        return usable[-1]

    def _guess_family(self) -> str:
        kinds = [one.kind for one in self._features]
        texts, tabular = kinds.count("text"), kinds.count("number") + kinds.count("category")
        return "cnn-lstm-attention" if texts and not tabular else "tabular"

    def _kept(self) -> list[str]:
        """The labels that have enough rows, where some have not: these rows are left out."""
        if self._target is None or self._family == "autoencoder":
            return []
        if self._target.missing:
            self._said.append(
                f"{self._target.missing} of {self._target.rows} rows have no {self._target.name!r}: "
                "training refuses them; fill them, take them out, or name another --target"
            )
        rare = [label for label, count in self._target.values.items() if count < _LEAST] if self._classified else []
        kept = [label for label in self._target.values if label not in rare]
        if not rare or len(kept) < 2:
            return []
        self._said.append(f"labels with fewer than {_LEAST} rows are left out: {', '.join(map(repr, rare[:10]))}")
        written = ", ".join(f"{scalar(label)}: [{scalar(label)}]" for label in kept)
        return [f"labels: {{{written}}} # those with at least {_LEAST} rows"]

    def _target_words(self) -> str:
        assert self._target is not None
        if not self._classified:
            return self._target.words()
        return counted(self._target.values.most_common())

    @property
    def _classified(self) -> bool:
        return self._target is not None and self._target.labels > 1

    def _positive(self) -> list[str]:
        """Of two labels the rarer one is what somebody looks for."""
        if not self._classified or self._target is None or self._target.labels != 2:
            return []
        rarer = self._target.values.most_common()[-1][0]
        return [f"positive: {scalar(rarer)} # the rarer of two labels"]

    def _tabular(self) -> list[str]:
        lines = [] if self._classified else ["task: regress"]
        classes = self._target.labels if self._classified and self._target is not None else 0
        for one in self._features:
            if one.kind == "text" and one.name:
                self._said.append(f"{one.name!r} is left alone: cnn-lstm-attention and document read such text")
        return [*lines, *self._positive(), "columns:", *indented(self._actions(tabular.tensors(classes), embed=True))]

    def _autoencoder(self) -> list[str]:
        lines = []
        if self._target is not None and self._target.values:
            normal = self._target.values.most_common(1)[0][0]
            lines = [f"normal: {scalar(normal)} # the label of most rows; all others are anomalies"]
        else:
            self._said.append("no labels: every row is taken for a normal one, and the highest scores are flagged")
        lines += ["threshold_percentile: 95 # of the training rows' scores", "columns:"]
        return [*lines, *indented(self._actions(autoencoder.TENSORS, embed=False))]

    def _actions(self, taken: Collection[str], *, embed: bool) -> list[str]:
        """What is done with each column; those that are called like one of the `taken` tensors are left alone."""
        lines, used = [], False
        for one in self._features:
            action, words = "drop", one.words()
            if not one.name:
                words = f"without a name, {words}"
            elif one.name in taken:
                words = f"called like a tensor of the model: rename it to use it; {words}"
                self._said.append(f"{one.name!r} is left alone: a tensor of the model has this name; rename the column")
            elif one.kind == "number":
                action = "scale"
            elif one.kind == "category":
                action = "embed" if embed and len(one.values) > _FEW else "onehot"
            lines.append(f"{scalar(one.name)}: {action} # {words}")
            used = used or action != "drop"
        if not used:
            raise BadData("no column holds numbers or categories", where=str(self._path))
        return lines

    def _characters(self) -> list[str]:
        texts = [one for one in self._features if one.kind in ("text", "category", "identifier") and not one.numeric]
        if not texts or not self._classified:
            raise BadData(
                "cnn-lstm-attention needs a column of text and one of labels",
                where=str(self._path),
                hint="--target COLUMN names the labels",
            )
        text = max(texts, key=lambda one: len(one.values))
        others = [one.name for one in self._features if one is not text]
        if others:
            self._said.append(f"of the features {text.name!r} alone is read")
        longest = max(map(len, text.values))
        length = next((size for size in (16, 32, 48, 64, 96, 128, 192, 256) if size >= 1.25 * longest), 256)
        return [
            f"text: {scalar(text.name)} # {text.words()}",
            *self._positive(),
            f"length: {length} # characters read; the longest has {longest}",
            "embedding: 32",
            "convolutions: [64]",
            "lstm: 64",
        ]

    def _training(self) -> list[str]:
        lines = [
            "epochs: 60 # at most",
            "batch_size: 32",
            "learning_rate: 0.003",
            "patience: 15 # epochs without a better",
        ]
        if self._classified and self._target is not None and self._family != "autoencoder":
            counts = [count for _, count in self._target.values.most_common() if count >= _LEAST] or [1]
            if counts[0] >= _RARE * counts[-1]:
                lines.append(f"class_weights: balanced # {counts[0]} rows of one label, {counts[-1]} of another")
        return lines


def _named_so(usable: Sequence[Column]) -> list[Column]:
    order = {name: place for place, name in enumerate(_TARGETS)}
    return sorted((one for one in usable if one.name.lower() in order), key=lambda one: order[one.name.lower()])
