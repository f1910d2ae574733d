"""A user's object is loaded from the user's folder; every way of getting the path wrong says what there is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from onnxpress.core import dotted
from onnxpress.core.errors import UsageError


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Loading is meant to change the import state of its process; here it must not reach the next test."""
    path, modules = list(sys.path), dict(sys.modules)
    # pytest takes our source root `training/` for a namespace package while it looks for tests/training/conftest.py.
    sys.modules.pop("training", None)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - set(modules):
        del sys.modules[name]
    sys.modules.update(modules)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    package = tmp_path / "training"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "losses.py").write_text("weight = 3\n")
    (package / "models.py").write_text(
        "from training.losses import weight\n"
        "class Encoder:\n    @staticmethod\n    def build():\n        return weight\n"
        "def build_decoder(): ...\n_private = 1\n"
    )
    return tmp_path


def test_a_users_own_training_package_is_found_beside_ours(repository: Path) -> None:
    import onnxpress.training

    build = dotted.load("training.models:Encoder.build", search=repository)
    assert build() == 3
    assert sys.modules["training"].__file__ != onnxpress.training.__file__


def test_the_working_directory_is_searched_by_default(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository)
    assert dotted.load("training.losses:weight") == 3


def test_the_users_folder_comes_before_others_that_are_on_the_path(repository: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "training").mkdir(parents=True)
    (other / "training" / "__init__.py").write_text("weight = 'wrong one'")
    (repository / "training" / "__init__.py").write_text("weight = 'right one'")
    sys.path[:0] = [str(other), str(repository)]
    assert dotted.load("training:weight", search=repository) == "right one"


@pytest.mark.parametrize("path", ["", "training", "training:", ":build", "training.models.build"])
def test_another_form_is_refused_with_an_example(repository: Path, path: str) -> None:
    with pytest.raises(UsageError, match=r"module:attribute\n.*my_package\.models:build"):
        dotted.load(path, search=repository)


def test_a_near_miss_of_an_attribute_is_named(repository: Path) -> None:
    with pytest.raises(UsageError) as refusal:
        dotted.load("training.models:build_decodr", search=repository)
    assert str(refusal.value) == (
        "training.models:build_decodr: training.models has no attribute 'build_decodr'\n"
        "  hint: did you mean 'build_decoder'? there is: Encoder, build_decoder, weight"
    )


def test_an_attribute_of_an_attribute_is_named_too(repository: Path) -> None:
    with pytest.raises(UsageError, match=r"no attribute 'bild'\n.*did you mean 'build'"):
        dotted.load("training.models:Encoder.bild", search=repository)


def test_a_near_miss_of_a_module_is_named(repository: Path) -> None:
    with pytest.raises(UsageError, match=r"no module 'trainin' in .*\n.*did you mean 'training'"):
        dotted.load("trainin.models:build", search=repository)
    with pytest.raises(UsageError, match=r"no module 'model' in the package training\n.*'models'\? .*losses, models"):
        dotted.load("training.model:build", search=repository)


def test_a_long_list_is_cut(repository: Path) -> None:
    (repository / "many.py").write_text("\n".join(f"name_{number:02} = 1" for number in range(50)))
    with pytest.raises(UsageError, match=r"name_19 and 30 more$"):
        dotted.load("many:other", search=repository)


def test_what_the_users_module_fails_to_import_is_not_taken_for_the_module(repository: Path) -> None:
    (repository / "nets.py").write_text("import no_such_dependency\n")
    with pytest.raises(UsageError, match="nets: importing it failed: No module named 'no_such_dependency'"):
        dotted.load("nets:build", search=repository)


@pytest.mark.parametrize(
    ("body", "said"),
    [("1 / 0", "ZeroDivisionError: division by zero"), ("def (", "SyntaxError"), ("exit(3)", "SystemExit: 3")],
)
@pytest.mark.parametrize("path", ["nets:build", "nets.py:build"])
def test_the_users_own_error_is_shown_and_chained(repository: Path, path: str, body: str, said: str) -> None:
    (repository / "nets.py").write_text(body)
    with pytest.raises(UsageError, match=f"importing it raised {said}") as refusal:
        dotted.load(path, search=repository)
    assert refusal.value.__cause__ is not None
    assert "nets" not in sys.modules


def test_a_file_is_loaded_with_its_neighbours(repository: Path) -> None:
    folder = repository / "experiments"
    folder.mkdir()
    (folder / "sizes.py").write_text("width = 8\n")
    (folder / "first-try.py").write_text("from sizes import width\ndef build(): return width\n")
    assert dotted.load("experiments/first-try.py:build", search=repository)() == 8
    assert dotted.load(f"{folder}/first-try.py:build")() == 8


def test_a_file_named_as_a_known_module_does_not_replace_it(repository: Path) -> None:
    import json

    (repository / "json.py").write_text(
        "from dataclasses import dataclass\n@dataclass\nclass Net:\n    width: int = 4\n"
    )
    net = dotted.load("json.py:Net", search=repository)
    assert net().width == 4
    assert sys.modules[net.__module__].Net is net
    assert sys.modules["json"] is json


def test_a_missing_file_is_named(repository: Path) -> None:
    with pytest.raises(UsageError, match=r"nets\.py: no such file"):
        dotted.load("nets.py:build", search=repository)


def test_a_factory_may_return_its_example_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `onnxpress export` takes, a recipe takes as well."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "example_nets.py").write_text(
        "def alone(width=1):\n    return ['net', width]\n\n\ndef both(width=1):\n    return ['net', width], 'rows'\n"
    )
    for name in ("alone", "both"):
        assert dotted.load_factory(f"example_nets:{name}")(width=3) == ["net", 3]
