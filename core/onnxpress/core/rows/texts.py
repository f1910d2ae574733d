"""Operators on strings: one by one, or by rows that are then padded to the longest of the batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from onnxpress.core.rows import ragged
from onnxpress.core.rows.call import ML, MS, Call, rule
from onnxpress.core.rows.values import FREE, Value


@rule("StringNormalizer")
def _normalized(call: Call) -> Value:
    value = _texts(call)
    if call.attribute("stopwords") is not None and value.rows is not None:
        raise call.mixed("all texts: it takes words out of the list of them")
    return value


@rule("StringSplit")
def _split(call: Call) -> Sequence[Value]:
    """The parts, as many for each text as the longest has, and how many there are."""
    value = call.data(0)
    shape = call.shape(value)
    if value.rows is None:
        return [FREE, Value(shape)]
    parts = call.untold(ragged.LONGEST)
    return [parts, Value(shape, value.rows)]


@rule("TfIdfVectorizer")
def _counted(call: Call) -> Value:
    """How often each word, or several in a row, stands in a text; a fill that is none of them counts nowhere."""
    value = call.value(0)
    if value.ragged is None or value.ragged.tail or value.ragged.fill is None:
        value = call.data(0)
    elif value.ragged.fill in _listed(call, "pool_strings") or call.attribute("pool_int64s") is not None:
        raise call.refused(ragged.LONGEST, definite=True)
    if value.rows is not None and (call.rank(value) != 2 or value.rows.axis != 0):
        raise call.mixed("all words of the batch")
    return FREE if value.rows is None else Value((call.symbols.rows, call.fresh()), value.rows)


@rule("Tokenizer", domain=MS)
def _tokenized(call: Call) -> Value:
    value = _texts(call)
    if value.rows is not None and call.integer("mark", 1):
        raise call.refused("the marks around texts are not followed")
    return FREE if value.free else ragged.tokens(call, value, call.string("pad_value", ""))


def _texts(call: Call) -> Value:
    """Texts, with a few constant ones behind them or not."""
    value = call.value(0)
    return value if value.ragged is not None and value.ragged.fill is None else call.data(0)


@rule("LabelEncoder", domain=ML)
def _numbered(call: Call) -> Value:
    """Each for itself, a fill too."""
    value = call.value(0)
    if value.ragged is None or value.ragged.fill is None:
        value = call.data(0)
        return Value(value.shape, value.rows)
    texts, numbers = _listed(call, "keys_strings"), call.ints("values_int64s")
    if numbers is None or len(texts) != len(numbers) or texts.count(str(value.ragged.fill)) != 1:
        raise call.refused(ragged.LONGEST, definite=True)
    fill = numbers[texts.index(str(value.ragged.fill))]
    return replace(value, ragged=replace(value.ragged, fill=fill))


def _listed(call: Call, name: str) -> tuple[str, ...]:
    found = call.attribute(name)
    return () if found is None else found.strings()
