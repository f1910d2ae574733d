"""One version's operations, typed from its signature: names, datatypes, shapes, labels, ranges and examples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import msgspec

from onnxpress.serving.engine.signature import share_rows
from onnxpress.serving.models.served import Served
from onnxpress.serving.protocol.datatypes import DATATYPE_OF
from onnxpress.serving.routes import examples
from onnxpress.serving.routes.examples import Example
from onnxpress.serving.routes.openapi import model_schemas
from onnxpress.serving.routes.openapi.answers import content, ref, responses
from onnxpress.serving.routes.openapi.schemas import Schema, opened

Operation = dict[str, Any]
_MODEL, _BUSY = (404,), (404, 504)
_OCTETS = "application/octet-stream"
_BINARY: Schema = {"type": "string", "format": "binary"}


class Described(msgspec.Struct, frozen=True):
    """A version, its example, and what its server answers besides the protocols: rows, and only to tokens."""

    served: Served
    example: Example | None
    rows: bool
    tokens: bool

    @property
    def prefix(self) -> str:
        """What its schemas are named by: no name of a model makes it another's."""
        return f"{model_schemas.plain_name(self.served.name)}.v{self.served.version}"

    def schemas(self) -> dict[str, Schema]:
        """The schemas of what it is asked and answers, for the document's components."""
        return model_schemas.of_version(self.served, self.prefix, rows=self.takes_rows)

    @property
    def takes_rows(self) -> bool:
        """Whether it is asked with rows of named columns."""
        return self.rows and share_rows(self.served.engine.inputs, self.served.engine.outputs)

    def paths(self) -> Iterator[tuple[str, dict[str, Operation]]]:
        """Every path that it answers at by its number, with the operations there."""
        name, version = quote(self.served.name, safe=""), self.served.version
        yield from self._v2(f"/v2/models/{name}/versions/{version}")
        yield from self._v1(f"/v1/models/{name}/versions/{version}")
        if self.takes_rows:
            yield f"/models/{name}/versions/{version}", {"post": self._rows("models")}

    def usual_paths(self, only: bool) -> Iterator[tuple[str, dict[str, Operation]]]:
        """Those at which it answers as its model's latest, and where no model is named: `only` one is served."""
        name = quote(self.served.name, safe="")
        yield from self._v2(f"/v2/models/{name}", latest=True)
        yield from self._v1(f"/v1/models/{name}", latest=True)
        if self.takes_rows:
            yield f"/models/{name}", {"post": self._rows("models", latest=True)}
            yield f"/predict/{name}", {"post": self._rows("predict", latest=True)}
            if only:
                yield "/predict", {"post": self._rows("predict_only", latest=True)}

    def labelled_paths(self, label: str) -> Iterator[tuple[str, dict[str, Operation]]]:
        """Those at which it answers by one of its labels."""
        name, label = quote(self.served.name, safe=""), quote(label, safe="")
        for path, operations in self._v1(f"/v1/models/{name}/labels/{label}"):
            for operation in operations.values():
                operation["operationId"] += f"_by_{label}"
            yield path, operations

    def _v2(self, path: str, latest: bool = False) -> Iterator[tuple[str, dict[str, Operation]]]:
        ready = self._get("Whether it answers", "ready", ref("Ready"), latest)
        ready["responses"]["503"]["content"] = content({"anyOf": [ref("Ready"), ref("Error")]})
        yield (
            path,
            {"get": self._get("Its signature and what was measured of it", "metadata", ref("ModelMetadata"), latest)},
        )
        yield f"{path}/ready", {"get": ready}
        yield (
            f"{path}/config",
            {"get": self._get("Its configuration, as Triton has it", "config", ref("ModelConfig"), latest)},
        )
        yield f"{path}/stats", {"get": self._get("What it has done", "stats", ref("Statistics"), latest)}
        request, answer = self._v2_example()
        infer = self._post("Ask it", "infer", "InferRequest", "InferResponse", request, answer, latest)
        # With tensors as bytes behind the JSON, of the length that the header says.
        infer["requestBody"]["content"][_OCTETS] = {"schema": _BINARY}
        infer["responses"]["200"]["content"][_OCTETS] = {"schema": _BINARY}
        infer["parameters"] = [
            {
                "name": "Inference-Header-Content-Length",
                "in": "header",
                "description": "How many bytes of the body are JSON, where tensors follow as bytes.",
                "schema": {"type": "integer", "minimum": 0},
            }
        ]
        yield f"{path}/infer", {"post": infer}

    def _v1(self, path: str, latest: bool = False) -> Iterator[tuple[str, dict[str, Operation]]]:
        yield (
            path,
            {"get": self._get("Its state, as TensorFlow Serving has it", "v1_status", ref("ModelStatus"), latest)},
        )
        yield f"{path}/metadata", {"get": self._get("Its signature", "v1_metadata", ref("ModelSignature"), latest)}
        request, answer = self._v1_example()
        yield f"{path}:predict", {
            "post": self._post("Ask it", "v1_predict", "PredictRequest", "PredictResponse", request, answer, latest)
        }  # fmt: skip
        yield from self._examples(path, latest)

    def _examples(self, path: str, latest: bool) -> Iterator[tuple[str, dict[str, Operation]]]:
        """TensorFlow Serving's classify and regress; a model without such an output answers 400."""
        if not share_rows(self.served.engine.inputs, self.served.engine.outputs):
            return
        given: Schema = {"type": "array", "minItems": 1, "items": {"type": "object"}}
        request = opened({"examples": given, "context": {"type": "object"}}, "examples")
        for verb, answer in (("classify", "Classified"), ("regress", "Regressed")):
            operation = self._post(f"{verb.capitalize()} examples", f"v1_{verb}", "", "", None, None, latest)
            operation["requestBody"]["content"] = content(request)
            operation["responses"]["200"]["content"] = content(ref(answer))
            yield f"{path}:{verb}", {"post": operation}

    def _rows(self, verb: str, latest: bool = False) -> Operation:
        example = None
        if self.example is not None:
            specs = self.served.engine.inputs
            columns = [examples.listed(self.example.inputs[spec.name]) for spec in specs]
            names = [spec.name for spec in specs]
            example = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        return self._post("Ask it with rows of named columns", verb, "Rows", "RowsAnswered", example, None, latest)

    def _v2_example(self) -> tuple[Any, Any]:
        if self.example is None:
            return None, None
        engine, example = self.served.engine, self.example
        sides = [(engine.inputs, example.inputs), (engine.outputs, example.outputs)]
        asked, answered = (
            [
                {
                    "name": spec.name,
                    "shape": list(arrays[spec.name].shape),
                    "datatype": DATATYPE_OF[spec.dtype],
                    "data": examples.flat(arrays[spec.name]),
                }
                for spec in specs
            ]
            for specs, arrays in sides
        )
        told = {"model_name": self.served.name, "model_version": str(self.served.version), "outputs": answered}
        return {"inputs": asked}, told

    def _v1_example(self) -> tuple[Any, Any]:
        engine, example = self.served.engine, self.example
        if example is None or not examples.finite(example, engine.inputs):  # this protocol has no null for NaN
            return None, None
        asked = {spec.name: examples.listed(example.inputs[spec.name]) for spec in engine.inputs}
        told = {spec.name: examples.listed(example.outputs[spec.name]) for spec in engine.outputs}
        return {"inputs": asked}, {"outputs": told if len(told) > 1 else next(iter(told.values()))}

    def _get(self, summary: str, verb: str, answer: Schema, latest: bool) -> Operation:
        return {
            **self._told(summary, verb, latest),
            "responses": responses(content(answer), body=False, tokens=self.tokens, also=_MODEL),
        }

    def _post(
        self, summary: str, verb: str, request: str, answer: str, asked: Any, answered: Any, latest: bool
    ) -> Operation:
        body = content(ref(f"{self.prefix}.{request}"), example=asked)
        told = content(ref(f"{self.prefix}.{answer}"), example=answered)
        return {
            **self._told(summary, verb, latest),
            "requestBody": {"required": True, "content": body},
            "responses": responses(told, body=True, tokens=self.tokens, also=_BUSY),
        }

    def _told(self, summary: str, verb: str, latest: bool) -> Operation:
        which = self.prefix.rpartition(".v")[0] if latest else self.prefix
        return {"summary": summary, "operationId": f"{verb}_{which}", "tags": [self.served.name]}
