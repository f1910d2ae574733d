"""The model `churn`, asked with rows of named columns, and a repository with it among models of other kinds."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
from tests.serving.onnx_models import model, node, plain, publish
from tests.serving.publishing import publish as publish_file

from onnxpress.core.tensors import Domain, parse_spec
from onnxpress.core.version_folder import read_manifest
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.settings import ModelSettings

INPUTS = ["age:float32[n]", "plan:string[n]", "spent:int64[n,1]"]
OUTPUTS = ["prediction:int64[n]", "probabilities:float32[n,2]", "said:string[n]", "paid:int64[n,1]"]


def churn() -> bytes:
    """age above 30 is class 1; probabilities are its share of 100 and the rest; plan and the numbers come back."""
    nodes = [
        node("Greater", ["age", "thirty"], ["older"]),
        node("Cast", ["older"], ["prediction"], to=7),
        node("Div", ["age", "hundred"], ["share"]),
        node("Sub", ["one", "share"], ["rest"]),
        node("Unsqueeze", ["share", "axis"], ["share1"]),
        node("Unsqueeze", ["rest", "axis"], ["rest1"]),
        node("Concat", ["rest1", "share1"], ["probabilities"], axis=1),
        node("Identity", ["plan"], ["said"]),
        node("Identity", ["spent"], ["paid"]),
    ]
    constants = {
        "thirty": np.array(30, np.float32), "hundred": np.array(100, np.float32), "one": np.array(1, np.float32),
        "axis": np.array([1], np.int64),
    }  # fmt: skip
    return model(nodes, INPUTS, OUTPUTS, constants)


def repository_at(folder: Path) -> Repository:
    """`churn` with labels and ranges, `tiny` in two versions with goldens, and `fixed`, which has no rows."""
    path = publish(folder, "churn", churn(), INPUTS, OUTPUTS)
    manifest = read_manifest(path)
    assert manifest is not None
    labels = ["stays", "leaves"]
    age, plan, spent = map(parse_spec, INPUTS)
    inputs = [
        msgspec.structs.replace(age, domain=Domain(low=0, high=120, enforced=True), refuses=("infinity",)),
        msgspec.structs.replace(plan, domain=Domain(values=["basic", "gold"], enforced=True)),
        msgspec.structs.replace(spent, domain=Domain(low=0, high=9)),
    ]
    changed = msgspec.structs.replace(manifest, labels={"prediction": labels, "probabilities": labels}, inputs=inputs)
    (path / "manifest.json").write_bytes(msgspec.json.encode(changed))
    publish_file(folder, "tiny")
    publish_file(folder, "tiny")
    plain(folder, "fixed", model([node("Not", ["b"], ["nb"])], ["b:bool[2,2]"], ["nb:bool[2,2]"]))
    return Repository(folder, ModelSettings(versions="all"))
