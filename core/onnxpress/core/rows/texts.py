"""Operators on strings: one by one, or by rows that are then padded to the longest of the batch."""

from __future__ import annotations

from collections.abc import Sequence

from onnxpress.core.rows.call import MS, Call, rule
from onnxpress.core.rows.images import untold
from onnxpress.core.rows.values import FREE, Value


@rule("StringNormalizer")
def _normalized(call: Call) -> Value:
    value = call.data(0)
    if call.attribute("stopwords") is not None and value.rows is not None:
        raise call.mixed("all texts: it takes words out of the list of them")
    return Value(value.shape, value.rows)


@rule("StringSplit")
def _split(call: Call) -> Sequence[Value]:
    """The parts, as many for each text as the longest has, and how many there are."""
    value = call.data(0)
    shape = call.shape(value)
    if value.rows is None:
        return [FREE, Value(shape)]
    parts = untold(call, "rows are padded to the longest of the batch")
    return [parts, Value(shape, value.rows)]


@rule("TfIdfVectorizer")
def _counted(call: Call) -> Value:
    value = call.data(0)
    if value.rows is not None and (call.rank(value) != 2 or value.rows.axis != 0):
        raise call.mixed("all words of the batch")
    return FREE if value.rows is None else Value((call.shape(value)[0], call.fresh()), value.rows)


@rule("Tokenizer", domain=MS)
def _tokenized(call: Call) -> Value:
    if call.data(0).rows is None:
        return FREE
    raise call.refused("rows are padded to the longest of the batch", definite=True)
