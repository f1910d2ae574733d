"""`--variant auto`: the quickest version of a family that passes its self-test here."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.serving import onnx_models
from tests.serving.engine.test_saturation import derived

from onnxpress.core import manifest as manifests
from onnxpress.core import processor
from onnxpress.core.arrays import Array
from onnxpress.core.golden import Golden
from onnxpress.core.version_folder import read_manifest, versions
from onnxpress.serving.engine import Engine
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.models.variants import Variants, family, timed
from onnxpress.serving.settings import ModelSettings

WIDTH = 512


def chain(products: int) -> bytes:
    """`y = x`, through as many products with a unit matrix: float32 (batch, 512) → the same."""
    names = ["x", *(f"h{number}" for number in range(1, products)), "y"]
    nodes = [onnx_models.node("MatMul", [a, "w"], [b]) for a, b in pairwise(names)]
    shapes = [f"x:float32[batch,{WIDTH}]"], [f"y:float32[batch,{WIDTH}]"]
    return onnx_models.model(nodes, *shapes, {"w": np.eye(WIDTH, dtype=np.float32)})


def put(
    repository: Path, products: int, parent: int | None = None, *, answer: float = 1.0, processor: Sequence[str] = ()
) -> int:
    """A version of the model `net`, derived from `parent` if given; `answer` is what its samples say of ones."""
    x = np.ones((8, WIDTH), np.float32)
    case = Golden({"x": x}, {"y": x * np.float32(answer)}, {"y": np.full(x.shape, 1e-3)})
    made_of = None
    if parent is not None:
        manifest = read_manifest(repository / "net" / str(parent))
        assert manifest is not None
        digest = manifest.files["model.onnx"].sha256
        made_of = derived(version=parent, sha256=digest, fused={}, processor=list(processor))
    shapes = [f"x:float32[batch,{WIDTH}]"], [f"y:float32[batch,{WIDTH}]"]
    folder = onnx_models.publish(repository, "net", chain(products), *shapes, cases=[case], derived=made_of)
    return int(folder.name)


def served(repository: Path, **settings: object) -> list[int]:
    found = Repository(repository, msgspec.structs.replace(ModelSettings(), **settings))
    found.load()
    return sorted(found.models["net"])


def models(repository: Path) -> dict[int, Path]:
    return {version: folder / "model.onnx" for version, folder in versions(repository / "net").items()}


def test_the_quickest_of_the_family_is_served_and_without_it_the_newest(tmp_path: Path) -> None:
    put(tmp_path, 24)
    put(tmp_path, 1, parent=1)
    put(tmp_path, 48, parent=1)
    assert served(tmp_path) == [3]
    assert served(tmp_path, variant="auto") == [2]


def test_the_parent_is_served_where_what_is_derived_is_slower(tmp_path: Path) -> None:
    put(tmp_path, 1)
    put(tmp_path, 48, parent=1)
    assert served(tmp_path, variant="auto") == [1]


def test_one_that_fails_its_self_test_here_is_never_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path, 24)
    put(tmp_path, 1, parent=1, answer=2.0)
    assert served(tmp_path, variant="auto") == [1]
    assert "version 2 is no variant to choose here: " in capsys.readouterr().err


def test_a_policy_that_names_versions_goes_before(tmp_path: Path) -> None:
    put(tmp_path, 1)
    put(tmp_path, 24, parent=1)
    assert served(tmp_path, variant="auto", versions="all") == [1, 2]
    assert served(tmp_path, variant="auto", versions="2") == [2]


def test_a_new_version_that_is_no_variant_is_served_as_the_newest(tmp_path: Path) -> None:
    """An old family that is quicker answers as an old model does."""
    put(tmp_path, 1)
    put(tmp_path, 1, parent=1)
    put(tmp_path, 24)
    assert family(models(tmp_path)) == [3]
    assert served(tmp_path, variant="auto") == [3]


def test_what_was_derived_from_another_file_of_that_number_is_no_variant(tmp_path: Path) -> None:
    put(tmp_path, 24)
    put(tmp_path, 1, parent=1)
    folder = tmp_path / "net" / "2"
    manifest = read_manifest(folder)
    assert manifest is not None
    assert manifest.derived_from is not None
    other = msgspec.structs.replace(manifest.derived_from, sha256="f" * 64)
    (folder / manifests.FILE_NAME).write_bytes(manifests.encode(msgspec.structs.replace(manifest, derived_from=other)))
    assert family(models(tmp_path)) == [2]


def test_a_manifest_that_cannot_be_read_leaves_the_choice_to_loading(tmp_path: Path) -> None:
    put(tmp_path, 24)
    put(tmp_path, 1, parent=1)
    (tmp_path / "net" / "2" / manifests.FILE_NAME).write_text("{")
    assert served(tmp_path, variant="auto") == [1]


def test_the_choice_is_made_again_only_where_a_file_changed(tmp_path: Path) -> None:
    put(tmp_path, 2)
    put(tmp_path, 1, parent=1)
    opened: list[Path] = []

    def opening(path: Path) -> Engine:
        opened.append(path)
        return Engine.load(path)

    variants = Variants(opening)
    first = variants.quickest("net", models(tmp_path))
    assert variants.quickest("net", models(tmp_path)) == first
    assert len(opened) == 2
    put(tmp_path, 1, parent=1)
    assert variants.quickest("net", models(tmp_path)) is not None
    assert len(opened) == 5


class Sleeping:
    """An engine whose runs take so long, and every third one longer."""

    def __init__(self, seconds: float, third: float) -> None:
        self._seconds, self._third, self._runs = seconds, third, 0

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        self._runs += 1
        time.sleep(self._third if self._runs % 3 == 0 else self._seconds)
        return dict(feeds)


def test_what_holds_up_a_run_now_and_then_does_not_count() -> None:
    """On average the second takes longer."""
    found = timed({1: Sleeping(0.01, 0.01), 2: Sleeping(0.001, 0.1)}, {})  # type: ignore[dict-item]
    assert found[2] < found[1]


def test_a_processor_that_lacks_what_it_is_quick_with_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path, 1)
    put(tmp_path, 1, parent=1, processor=["avx2", "vnni"])
    monkeypatch.setattr(processor, "features", lambda: ("avx2", "vnni"))
    assert served(tmp_path) == [2]
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(processor, "features", lambda: ("avx2",))
    assert served(tmp_path) == [2]
    assert "net version 2: it was measured on a processor with vnni, which this one has not" in capsys.readouterr().err
