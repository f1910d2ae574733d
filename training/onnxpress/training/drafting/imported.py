"""An existing project's settings as a recipe, where the meaning is plain; what could not be carried is listed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from onnxpress.core.document_errors import split_message
from onnxpress.core.documents import read_document
from onnxpress.core.errors import UsageError
from onnxpress.training.drafting.meanings import ANOMALIES, DOMAINS, SEIZURES, Meaning
from onnxpress.training.drafting.written import Draft, document_text, name_of
from onnxpress.training.recipe import Recipe

_SHOWN = 60


@dataclass(frozen=True)
class _Form:
    """A kind of project: keys that only it has, what its settings mean, and what a recipe of it begins with."""

    title: str
    signs: frozenset[str]
    meanings: Mapping[str, Meaning]
    begins: Mapping[str, Any]


def _signs(names: str) -> frozenset[str]:
    return frozenset(names.split())


_FORMS = (
    _Form(
        "Open Seizure Database",
        _signs("datafiles osdbfiles osdbconfig osdbcfg seizuretimerange splittesttrainbyevent eventfilters"),
        SEIZURES,
        {
            "model": {"family": "cnn14", "unit": "mg", "positive": "Seizure"},
            "data": {"source": "events", "path": "osdb", "positive": ["Seizure"], "skip": "bad datapoints"},
        },
    ),
    _Form(
        "characters read by a CNN and an LSTM",
        _signs("maxlength maxlen sequencelength maxdomainlength lstmunits lstmhidden lstmhiddendim embeddingdim"),
        DOMAINS,
        {
            "model": {"family": "cnn-lstm-attention", "text": "domain"},
            "data": {"source": "csv", "path": "domains.csv", "target": "label"},
        },
    ),
    _Form(
        "autoencoder for anomalies",
        _signs("contamination iforestcontamination thresholdpercentile encodingdim latentdim autoencoderweight"),
        ANOMALIES,
        {"model": {"family": "autoencoder"}, "data": {"source": "csv", "path": "rows.csv"}},
    ),
)  # fmt: skip


def of_file(path: Path) -> Draft:
    """The recipe, and a line for each setting that it does not carry. Raises UsageError for a file of no known form."""
    document = read_document(path)
    if not isinstance(document, dict):
        raise UsageError("no settings are in it: expected names and values", where=str(path))
    found = list(_settings(document))
    form = _form_of({_plain(key) for keys, _ in found for key in keys}, path)
    recipe: dict[str, Any] = {"name": "", "framework": "pytorch"}
    recipe |= {name: dict(group) for name, group in form.begins.items()}
    told: set[str] = set()
    said = [*_carry(form, found, recipe, told)]
    said += _complete(form, recipe)
    recipe["name"] = name_of(path)
    said += _mended(recipe)
    for place in ("data.path", "data.target", "model.text"):
        group, field = place.split(".")
        if place not in told and field in recipe[group]:
            said.append(f"not told: {place}; it is {recipe[group][field]!r} until you change it")
    head = [f"# From {path.name!a}, read as {form.title}.", *(f"# {line}" for line in said)]
    return Draft("\n".join(head) + "\n" + document_text(recipe), tuple(said))


def _settings(value: Mapping[str, Any], before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value that is no group, with the names that lead to it."""
    for name, inner in value.items():
        keys = (*before, str(name))
        if isinstance(inner, dict) and inner and _plain(str(name)) not in ("classweight", "classweights"):
            yield from _settings(inner, keys)
        else:
            yield keys, inner


def _plain(key: str) -> str:
    return re.sub(r"[^a-z0-9]", "", key.lower())


def _form_of(keys: set[str], path: Path) -> _Form:
    best = max(_FORMS, key=lambda form: len(form.signs & keys))
    if not best.signs & keys:
        known = "; ".join(f"{form.title} ({', '.join(sorted(form.signs)[:3])})" for form in _FORMS)
        raise UsageError("its settings are of no form that is known", where=str(path), hint=f"known: {known}")
    return best


def _carry(
    form: _Form, found: list[tuple[tuple[str, ...], Any]], recipe: dict[str, Any], told: set[str]
) -> Iterator[str]:
    """Put each setting where it belongs; a line for each that has no place."""
    switches = {_plain(keys[-1]): value for keys, value in found}
    for keys, value in found:
        key = ".".join(keys)
        if value is None:
            continue  # it is not set
        shown = f"{key} = {json.dumps(value, default=str)[:_SHOWN]}"
        meaning = _meaning(form, keys)
        if meaning is None:
            yield f"not carried: {shown}"
            continue
        if _plain(keys[-1]).startswith("noiseaugmentation") and switches.get("noiseaugmentation") is False:
            continue  # its switch is off
        place, convert = meaning
        try:
            given = convert(value)
        except (ValueError, TypeError) as error:
            yield f"not carried: {shown}: {error}"
            continue
        if given is None:
            continue
        if place.startswith("+"):
            columns = recipe["model"].setdefault("columns", {})
            columns |= dict.fromkeys(given, place[1:])
            continue
        if not place:
            continue  # it says what the family does anyway
        if place in told and _at(recipe, place) != given:
            yield f"not carried: {key}: another setting says {place} already"
            continue
        told.add(place)
        _put(recipe, place, given)


def _meaning(form: _Form, keys: tuple[str, ...]) -> Meaning | None:
    """Of the setting by its own name, or by its group's and its own together (`isolation_forest: {weight: 0.4}`)."""
    names = [_plain(key) for key in keys]
    if names[-1] == "noiseaugmentation":  # a switch, which its value and factor stand for
        return "", lambda _: None
    if len(names) > 1:
        group, own = names[-2:]
        if own in ("weight", "enabled", "contamination", "lr", "method"):
            return form.meanings.get(group + own) or form.meanings.get(own)
        if own in ("name", "type"):  # `optimizer: {name: adam}`
            return form.meanings.get(group)
        if group in ("weights", "ensembleweights"):
            return form.meanings.get(f"{own}weight")
        if group in ("data", "files", "datafiles", "paths", "dataset", "datasets"):  # `files: {benign: a.json}`
            return next((form.meanings[n] for n in (own, f"data{own}", f"{own}file") if n in form.meanings), None)
        if re.search("schedul|plateau|reducelr", group):  # its patience is not that of stopping early
            return form.meanings.get(f"plateau{own}") or (None if own == "patience" else form.meanings.get(own))
    return form.meanings.get(names[-1])


def _put(recipe: dict[str, Any], place: str, value: Any) -> None:
    *groups, field = place.split(".")
    for group in groups:
        if not isinstance(recipe.get(group), dict):  # `combine: any` gives way to its weights
            recipe[group] = {}
        recipe = recipe[group]
    recipe[field] = value


def _at(recipe: dict[str, Any], place: str) -> Any:
    found: Any = recipe
    for part in place.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _complete(form: _Form, recipe: dict[str, Any]) -> list[str]:
    """What one setting needs of another; a line for each that another one leaves no place."""
    model, data = recipe["model"], recipe["data"]
    if form.meanings is SEIZURES:
        if data.get("axes") == "magnitude":
            model["magnitude"] = True
        augmentation = model.get("augmentation")
        if augmentation is not None:
            augmentation.setdefault("phase", False)
            if augmentation.get("even_groups"):
                data["group"] = "userId"
    if form.meanings is DOMAINS and "dense" in model:
        model["dense_dropouts"] = [model.get("dropout", 0.3)] * len(model["dense"])
    if form.meanings is ANOMALIES and "weighted" in model.get("combine", {}):
        model.setdefault("isolation_forest", {})
    if "files" in data:
        for field in ("path", "target"):
            data.pop(field, None)
    paths = data.get("path") or next(iter(data.get("files", {}).values()), None)
    first = paths[0] if isinstance(paths, list) and paths else paths
    if data["source"] == "csv" and str(first).lower().endswith((".json", ".jsonl")):
        data["source"] = "json"
    said = _schedule(recipe["training"]) if "schedule" in recipe.get("training", {}) else []
    if form.meanings is ANOMALIES and "target" not in data and model.pop("cost", None) is not None:
        said.append("not carried: model.cost: it needs labelled rows, data.target and model.normal")
    if form.meanings is ANOMALIES and "target" in data and "normal" not in model:
        said.append("not told: model.normal, the label of usual rows; training needs it")
    return said


def _schedule(training: dict[str, Any]) -> list[str]:
    """Up, hold and down where a peak is given; a peak alone is the learning rate."""
    chosen = training["schedule"]
    if "peak" in chosen and len(chosen) == 1 and not training.keys() & {"learning_rate", "warm_up"}:
        training["learning_rate"] = training.pop("schedule")["peak"]
        return []
    if "peak" not in chosen:
        del training["schedule"]
        return [f"not carried: training.schedule.{name}: there is no peak" for name in chosen]
    training["schedule"] = {"kind": "up_hold_down", **chosen}
    if "warm_up" in training:
        training["schedule"]["up"] = training.pop("warm_up")
    if training.pop("plateau", None) is None:
        return []
    return ["not carried: training.plateau: the schedule stands in its place"]


def _mended(recipe: dict[str, Any]) -> list[str]:
    """Take out what no recipe takes, such as a batch of no rows, until it can be read; a line for each."""
    said: list[str] = []
    while True:
        try:
            msgspec.convert(recipe, Recipe)
        except msgspec.ValidationError as error:
            what, place = split_message(error)
            parts = re.findall(r"\w+", place)
            if len(parts) < 2 or not _take(recipe, parts):
                raise UsageError(f"no recipe can be made of it: {what}") from None
            said.append(f"not carried: {'.'.join(parts)}: {what}")
        else:
            return said


def _take(recipe: dict[str, Any], parts: list[str]) -> bool:
    """Take out the field, or the innermost of its groups that is there."""
    for end in range(len(parts), 1, -1):
        place: Any = recipe
        for part in parts[: end - 1]:
            place = place.get(part, {}) if isinstance(place, dict) else {}
        if isinstance(place, dict) and parts[end - 1] in place:
            del place[parts[end - 1]]
            return True
    return False
