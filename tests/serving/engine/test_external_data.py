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


@pytest.mark.parametrize("place", onnx_models.places(""))
def test_a_hard_link_is_found_wherever_a_file_may_hold_a_tensor(tmp_path: Path, place: str) -> None:
    (tmp_path / "secret").write_bytes(WEIGHT.tobytes())
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(onnx_models.places("w")[place])
    os.link(tmp_path / "secret", folder / "w")
    with pytest.raises(BadModel, match="hard link"):
        check(folder / "model.onnx")
    (folder / "w").unlink()
    (folder / "w").write_bytes(WEIGHT.tobytes())
    assert check(folder / "model.onnx") == [folder / "w"]


def _put(tmp_path: Path, files: dict[str, bytes], links: dict[str, str]) -> Path:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    for name, target in links.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(target)
    return tmp_path / "m" / "model.onnx"


W, MODEL = WEIGHT.tobytes(), external("w")
ALLOWED = {
    "Hugging Face's cache": ({"blobs/a": MODEL, "blobs/b": W}, {"m/model.onnx": "../blobs/a", "m/w": "../blobs/b"}),
    "a ConfigMap": (
        {"m/..2026/model.onnx": MODEL, "m/..2026/w": W},
        {"m/..data": "..2026", "m/model.onnx": "..data/model.onnx", "m/w": "..data/w"},
    ),
    "a link beside": ({"m/model.onnx": MODEL, "m/real": W}, {"m/w": "real"}),
    "the version's folder is a link": ({"real/model.onnx": MODEL, "real/w": W}, {"m": "real"}),
    "deeper in the real folder": (
        {"blobs/a": MODEL, "blobs/deep/b": W},
        {"m/model.onnx": "../blobs/a", "m/w": "../blobs/deep/b"},
    ),
    "the model is a link, its data beside it": ({"real.onnx": MODEL, "m/w": W}, {"m/model.onnx": "../real.onnx"}),
}
REFUSED = {
    "a link out": ({"m/model.onnx": MODEL, "secret": W}, {"m/w": "../secret"}),
    "a link out beside a model that is a link": (
        {"blobs/a": MODEL, "elsewhere/secret": W},
        {"m/model.onnx": "../blobs/a", "m/w": "../elsewhere/secret"},
    ),
    "the folder between": (
        {"c/a": MODEL, "b/w": W},
        {"b/a": "../c/a", "m/model.onnx": "../b/a", "m/w": "../b/w"},
    ),
    "a folder whose name begins the same": (
        {"blobs/a": MODEL, "blobs-of-others/b": W},
        {"m/model.onnx": "../blobs/a", "m/w": "../blobs-of-others/b"},
    ),
}


@pytest.mark.parametrize("layout", ALLOWED)
def test_links_within_the_real_folder_are_followed_as_the_runtime_does(tmp_path: Path, layout: str) -> None:
    model = _put(tmp_path, *ALLOWED[layout])
    answer = Engine.load(model).run({"x": np.ones((1, 3), np.float32)})["y"]
    np.testing.assert_array_equal(answer, np.full((1, 2), 6, np.float32))


@pytest.mark.parametrize("layout", REFUSED)
def test_links_out_of_it_are_refused(tmp_path: Path, layout: str) -> None:
    with pytest.raises(BadModel, match="symbolic link that leads out"):
        check(_put(tmp_path, *REFUSED[layout]))


def test_a_hard_link_behind_a_symbolic_one_is_refused(tmp_path: Path) -> None:
    model = _put(tmp_path, {"blobs/a": MODEL, "secret": W}, {"m/model.onnx": "../blobs/a", "m/w": "../blobs/b"})
    os.link(tmp_path / "secret", tmp_path / "blobs" / "b")
    with pytest.raises(BadModel, match="hard link"):
        check(model)


def test_a_place_in_memory_is_refused_though_there_is_such_a_file(tmp_path: Path) -> None:
    location = "*/_ORT_MEM_ADDR_/*"
    model = _put(tmp_path, {"m/model.onnx": external(location), f"m/{location}": W}, {})
    with pytest.raises(BadModel, match="place in memory"):
        check(model)


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
