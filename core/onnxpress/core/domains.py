"""The values that an input's author allows: read from `x:[0,255]`, written into its signature, and held against values.

Bounds are inclusive, and either may be left out: `age:[0,]`. Of strings the values are listed, of whole numbers they
may be: `colour:{red,green}`, `code:{1,5,9}`. A NaN is outside of no bounds; what a signature says of it stands in
`special_values`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from onnxpress.core import special_values
from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData, UsageError
from onnxpress.core.spelling import did_you_mean
from onnxpress.core.tensors import Domain, TensorSpec

_BOUNDS = r"(?P<name>[^:\[\]{}]+):\s*\[(?P<low>[^,\[\]]*),(?P<high>[^,\[\]]*)\]\s*"
_VALUES = r"(?P<name>[^:\[\]{}]+):\s*\{(?P<values>[^{}]+)\}\s*"
_WHOLE = r"u?int\d"
_NUMBER = r"-?(0|[1-9]\d*)"
_EXAMPLE = "write NAME:[LOW,HIGH], for example 'x:[0,255]', or of strings NAME:{VALUE,VALUE}"
_SHOWN = 80


def parse_domain(text: str) -> tuple[str, Domain]:
    """`x:[0,255]` → the input's name and its domain, which the server holds requests against.

    Raises UsageError saying which part is wrong.

    >>> parse_domain("x:[0,255]")
    ('x', Domain(low=0.0, high=255.0, enforced=True))
    """
    listed = re.fullmatch(_VALUES, text.strip())
    if listed is not None:
        values = [value.strip() for value in listed["values"].split(",")]
        return listed["name"].strip(), Domain(values=list(dict.fromkeys(values)), enforced=True)
    match = re.fullmatch(_BOUNDS, text.strip())
    if match is None:
        raise UsageError(f"cannot read the domain {text!r}", hint=_EXAMPLE)
    low, high = (_bound(match[end], text) for end in ("low", "high"))
    if low is None and high is None:
        raise UsageError(f"the domain {text!r} has neither bound", hint=_EXAMPLE)
    if low is not None and high is not None and low > high:
        raise UsageError(f"the domain {text!r} is empty: {low:g} is more than {high:g}", hint=_EXAMPLE)
    return match["name"].strip(), Domain(low=low, high=high, enforced=True)


def _bound(text: str, whole: str) -> float | None:
    if not text.strip():
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"{text.strip()!r} in the domain {whole!r} is no number", hint=_EXAMPLE)
    return value


def narrowed(specs: Sequence[TensorSpec], domains: Sequence[str | tuple[str, Domain]]) -> list[TensorSpec]:
    """The specs with these domains, as text or as `parse_domain` reads it.

    Raises UsageError for an input that is not there, or values that it cannot have.
    """
    found: dict[str, Domain] = {}
    for given in domains:
        name, domain = parse_domain(given) if isinstance(given, str) else given
        spec = next((spec for spec in specs if spec.name == name), None)
        if spec is None:
            known = [spec.name for spec in specs]
            raise UsageError(
                f"there is no input {name!r}, of which a domain was given",
                hint=did_you_mean(name, known, "the model takes"),
            )
        if name in found:
            raise UsageError(f"two domains were given of the input {name!r}", hint="give one of each input")
        if not _says_something(spec, domain):
            kind = "strings" if spec.dtype == "string" else spec.dtype
            raise UsageError(f"the input {name!r} holds {kind}; {domain} says nothing of these", hint=_EXAMPLE)
        found[name] = domain
    return [msgspec.structs.replace(spec, domain=found[spec.name]) if spec.name in found else spec for spec in specs]


def _says_something(spec: TensorSpec, domain: Domain) -> bool:
    if spec.dtype == "bool" or domain.values is None:
        return spec.dtype not in ("bool", "string")
    return spec.dtype == "string" or (
        re.match(_WHOLE, spec.dtype) is not None and all(re.fullmatch(_NUMBER, value) for value in domain.values)
    )


def refused(spec: TensorSpec, values: Array) -> str:
    """What stands against asking `spec` with these values: outside its domain, NaN, infinity; empty where nothing does.

    >>> (spec,) = narrowed([TensorSpec(name="x", dtype="float32", shape=("batch",))], ["x:[0,255]"])
    >>> refused(spec, np.array([1.0, 300.0], np.float32))
    "the input 'x' holds 300.0, which is outside of its domain [0, 255]"
    """
    if what := special_values.refused(spec, values):
        return what
    domain = spec.domain
    if domain is None or not domain.enforced or not values.size:
        return ""
    if domain.values is not None:
        allowed = frozenset(domain.values)
        told = values.ravel().tolist() if spec.dtype == "string" else map(str, values.ravel().tolist())
        odd = next((value for value in told if value not in allowed), None)
        return "" if odd is None else _outside(spec, repr(odd) if spec.dtype == "string" else odd)
    outside = np.zeros(values.shape, bool)
    with np.errstate(invalid="ignore", over="ignore"):  # a NaN is neither below nor above
        if domain.low is not None:
            outside |= values < domain.low
        if domain.high is not None:
            outside |= values > domain.high
    return _outside(spec, str(values[outside].flat[0])) if outside.any() else ""


def guarded(spec: TensorSpec) -> bool:
    """Whether there are values of its dtype that `refused` tells of."""
    return bool(spec.refuses) or (spec.domain is not None and spec.domain.enforced)


def _outside(spec: TensorSpec, value: str) -> str:
    return f"the input {spec.name!r} holds {_cut(value)}, which is outside of its domain {_cut(str(spec.domain))}"


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def check_samples(specs: Sequence[TensorSpec], samples: dict[str, Array]) -> None:
    """Raise BadData where the author's own rows lie outside the domain that they gave."""
    for spec in specs:
        domain = msgspec.structs.replace(spec, refuses=())
        if spec.name in samples and (what := refused(domain, samples[spec.name])):
            raise BadData(what.replace("the input", "the samples of", 1).replace(" holds ", " hold ", 1))


def inside(specs: Sequence[TensorSpec], values: Mapping[str, Array]) -> dict[str, Array]:
    """Made-up values moved into the enforced domains: numbers to the nearest bound, strings to a listed one."""
    found = dict(values)
    for spec in specs:
        domain = spec.domain
        if domain is None or not domain.enforced or spec.name not in found:
            continue
        value = found[spec.name]
        if domain.values is not None:
            listed = np.array(domain.values, object if spec.dtype == "string" else value.dtype)
            known = np.isin(value.astype(str), np.array(domain.values, str))
            turn = np.resize(listed, value.shape)
            found[spec.name] = np.where(known, value, turn)
        elif value.size:
            held = np.array(value)
            with np.errstate(over="ignore"):
                low, high = (None if end is None else held.dtype.type(end) for end in _ends(domain, held))
            found[spec.name] = np.asarray(np.clip(held, low, high))  # without axes it would be a plain number
    return found


def _ends(domain: Domain, values: Array) -> tuple[float | None, float | None]:
    """The bounds as the dtype can hold them: of integers the whole numbers within, and within the dtype's own."""
    if values.dtype.kind == "f":
        return domain.low, domain.high
    kind = np.iinfo(values.dtype)
    low = None if domain.low is None else max(math.ceil(domain.low), int(kind.min))
    high = None if domain.high is None else min(math.floor(domain.high), int(kind.max))
    return low, high
