"""External data is read from inside the version's folder, and from nowhere else."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np
import pytest
from tests.serving import onnx_models
from tests.serving.onnx_models import affine, external, in_attribute

from onnxpress.core.errors import BadModel
from onnxpress.core.onnx_graph import open_model
from onnxpress.serving.engine import Engine
from onnxpress.serving.engine.external_data import check, locations

WEIGHT = np.full((3, 2), 2, np.float32)


def version(tmp_path: Path, location: str) -> Path:
    folder = tmp_path / "m" / "1"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(external(location))
    return folder


@pytest.mark.parametrize("location", ["model.onnx.data", "weights/w.bin"])
def test_a_file_inside_is_read(tmp_path: Path, location: str) -> None:
    folder = version(tmp_path, location)
    (folder / location).parent.mkdir(exist_ok=True)
    (folder / location).write_bytes(WEIGHT.tobytes())
    answer = Engine.load(folder / "model.onnx").run({"x": np.ones((1, 3), np.float32)})["y"]
    np.testing.assert_array_equal(answer, np.full((1, 2), 6, np.float32))


@pytest.mark.parametrize(
    "location", ["../secret", "a/../../../secret", "/etc/hostname", "..\\secret", "C:\\secret", ""]
)
def test_a_path_that_leads_out_is_refused(tmp_path: Path, location: str) -> None:
    folder = version(tmp_path, location)
    (tmp_path / "m" / "secret").write_bytes(WEIGHT.tobytes())
    with pytest.raises(BadModel, match="external data"):
        Engine.load(folder / "model.onnx")


@pytest.mark.parametrize("kind", ["symbolic link", "hard link", "folder's symbolic link", "missing", "not a file"])
def test_a_link_is_refused(tmp_path: Path, kind: str) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(WEIGHT.tobytes())
    folder = version(tmp_path, "sub/w" if "folder" in kind else "w")
    if kind == "symbolic link":
        (folder / "w").symlink_to(secret)
    elif kind == "hard link":
        os.link(secret, folder / "w")
    elif kind == "folder's symbolic link":
        (tmp_path / "elsewhere").mkdir()
        secret.rename(tmp_path / "elsewhere" / "w")
        (folder / "sub").symlink_to(tmp_path / "elsewhere")
    elif kind == "not a file":
        (folder / "w").mkdir()
    with pytest.raises(BadModel, match=kind.removeprefix("folder's ")):
        Engine.load(folder / "model.onnx")


def test_tensors_in_attributes_and_subgraphs_are_found(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(in_attribute("../secret"))
    with open_model(path) as read:
        assert locations(read) == {"../secret"}


def test_a_model_without_external_data_has_no_locations_and_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(affine())
    (tmp_path / "model.onnx").symlink_to(tmp_path / "real")  # as Kubernetes mounts files
    assert check(tmp_path / "model.onnx") == []
    assert Engine.load(tmp_path / "model.onnx").name == "model"


@pytest.mark.parametrize(
    "content", [b"", b"location", b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01location", b"\x3blocation"]
)
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(BadModel):
        Engine.load(path)


def test_every_cut_of_a_model_is_refused_or_read_without_another_error(tmp_path: Path) -> None:
    whole = onnx_models.external("w")
    path = tmp_path / "model.onnx"
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        with contextlib.suppress(BadModel):
            check(path)
