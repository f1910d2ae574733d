"""The schemas of what one version is asked and answers, in each protocol; every object has a name of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnxpress.core.tensors import TensorSpec
from onnxpress.serving.engine.signature import share_rows
from onnxpress.serving.models.served import Served
from onnxpress.serving.routes.openapi import schemas
from onnxpress.serving.routes.openapi.answers import ref
from onnxpress.serving.routes.openapi.schemas import Schema

Labels = Mapping[str, Sequence[str]]


def plain_name(text: str) -> str:
    """The text as a component may be named: no two become the same.

    >>> plain_name("my model"), plain_name("my_model")
    ('my_20_model', 'my_5f_model')
    """
    return "".join(one if one.isascii() and (one.isalnum() or one in "-.") else f"_{ord(one):x}_" for one in text)


def of_version(served: Served, prefix: str, *, rows: bool) -> dict[str, Schema]:
    """All of them, by their names in the document's components; `rows`: it is asked with rows of columns too."""
    engine = served.engine
    labels: Labels = engine.manifest.labels if engine.manifest else {}
    found = {**_infer(served, prefix, labels), **_predict_request(served, prefix)}
    found |= _predict_response(prefix, engine.outputs, share_rows(engine.inputs, engine.outputs))
    return found | _rows(served, prefix, labels) if rows else found


def _infer(served: Served, prefix: str, labels: Labels) -> dict[str, Schema]:
    inputs, outputs = served.engine.inputs, served.engine.outputs
    asked = {
        f"{prefix}.Input.{plain_name(spec.name)}": schemas.tensor(spec, schemas.value_in(spec, null=True))
        for spec in (*inputs, *served.engine.optional)
    }
    answered = {
        f"{prefix}.Output.{plain_name(spec.name)}": schemas.tensor(
            spec, schemas.value_out(spec), labels.get(spec.name, ())
        )
        for spec in outputs
    }
    chosen = f"{prefix}.OutputWanted"
    return {
        **asked,
        **answered,
        chosen: schemas.opened({"name": {"enum": [spec.name for spec in outputs]}, "parameters": _ANY}, "name"),
        f"{prefix}.InferRequest": schemas.opened(
            {
                "id": {"type": "string"},
                "inputs": {
                    "type": "array",
                    "items": schemas.one_of([ref(name) for name in asked]),
                    "minItems": len(inputs),
                    "maxItems": len(asked),
                },
                "outputs": {"type": "array", "items": ref(chosen)},
                "parameters": _ANY,
            },
            "inputs",
        ),
        f"{prefix}.InferResponse": schemas.opened(
            {
                "model_name": {"const": served.name},
                "model_version": {"const": str(served.version)},
                "id": {"type": "string"},
                "outputs": {
                    "type": "array",
                    "items": schemas.one_of([*(ref(name) for name in answered), ref("Classes")]),
                },
            },
            "model_name",
            "model_version",
            "outputs",
        ),
    }


def _predict_request(served: Served, prefix: str) -> dict[str, Schema]:
    """TensorFlow Serving's question, and the objects in it."""
    inputs, optional = served.engine.inputs, served.engine.optional
    columns = {
        spec.name: schemas.instances(schemas.value_in(spec, null=False), spec.shape) for spec in (*inputs, *optional)
    }
    found = {f"{prefix}.Columns": schemas.closed(columns, *(spec.name for spec in inputs))}
    whole: Schema = ref(f"{prefix}.Columns")
    if len(inputs) == 1:
        whole = {"anyOf": [columns[inputs[0].name], whole]}
    signature: Schema = {"enum": ["serving_default", ""]}
    by_columns = schemas.opened({"signature_name": signature, "inputs": whole}, "inputs")
    if not share_rows(inputs, served.engine.outputs):
        return {**found, f"{prefix}.PredictRequest": by_columns}
    row = {spec.name: schemas.instance(schemas.value_in(spec, null=False), spec.shape) for spec in inputs}
    found[f"{prefix}.Instance"] = schemas.closed(row)
    instance: Schema = ref(f"{prefix}.Instance")
    if len(inputs) == 1:
        instance = {"anyOf": [row[inputs[0].name], instance]}
    instances = {"type": "array", "minItems": 1, "items": instance}
    by_rows = schemas.opened({"signature_name": signature, "instances": instances}, "instances")
    names = [f"{prefix}.PredictInstances", f"{prefix}.PredictInputs"]
    found[names[0]] = {**by_rows, "not": {"required": ["inputs"]}}  # one of them: neither says anything of the other's
    found[names[1]] = {**by_columns, "not": {"required": ["instances"]}}
    return {**found, f"{prefix}.PredictRequest": {"anyOf": [ref(name) for name in names]}}


def _predict_response(prefix: str, outputs: Sequence[TensorSpec], rows: bool) -> dict[str, Schema]:
    whole = {spec.name: schemas.instances(schemas.value_out(spec), spec.shape) for spec in outputs}
    each = {spec.name: schemas.instance(schemas.value_out(spec), spec.shape) for spec in outputs}
    found: dict[str, Schema] = {}
    if len(outputs) == 1:
        column, row = whole[outputs[0].name], each[outputs[0].name]
    else:
        column, row = ref(f"{prefix}.Outputs"), ref(f"{prefix}.Prediction")
        found[f"{prefix}.Outputs"] = schemas.closed(whole)
    by_columns = schemas.closed({"outputs": column})
    if not rows:
        return {**found, f"{prefix}.PredictResponse": by_columns}
    if len(outputs) > 1:
        found[f"{prefix}.Prediction"] = schemas.closed(each)
    names = [f"{prefix}.PredictedRows", f"{prefix}.PredictedOutputs"]
    found[names[0]] = schemas.closed({"predictions": {"type": "array", "items": row}})
    found[names[1]] = by_columns
    return {**found, f"{prefix}.PredictResponse": {"anyOf": [ref(name) for name in names]}}


def _rows(served: Served, prefix: str, labels: Labels) -> dict[str, Schema]:
    inputs, outputs = served.engine.inputs, served.engine.outputs
    answer = {spec.name: schemas.column_out(spec, labels.get(spec.name, ())) for spec in outputs}
    rows: Schema = {"type": "array", "minItems": 1, "items": ref(f"{prefix}.Row")}
    answered: Schema = {"type": "array", "items": ref(f"{prefix}.RowAnswered")}
    return {
        f"{prefix}.Row": schemas.closed({spec.name: schemas.column_in(spec) for spec in inputs}),
        f"{prefix}.RowAnswered": schemas.closed(answer),
        f"{prefix}.RowsGiven": schemas.closed({"rows": rows}),
        f"{prefix}.Rows": {"anyOf": [rows, ref(f"{prefix}.RowsGiven")]},
        f"{prefix}.RowsTold": schemas.closed({"rows": answered}),
        f"{prefix}.RowsAnswered": {"anyOf": [answered, ref(f"{prefix}.RowsTold")]},
    }


_ANY: Schema = {"type": "object"}
