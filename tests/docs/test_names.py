"""Commands, options, make targets, modules and recipes that the documentation names are there."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path

import click
import pytest
from tests.docs import pages

from onnxpress.core.cli import root as command_line

INLINE = re.compile(r"`([^`\n]+)`")
PAGES = [pytest.param(path, id=str(path.relative_to(pages.ROOT))) for path in pages.written()]
OPTIONS_OF_OTHERS = {
    "--no-compile",  # pip
    "--nproc-per-node", "--no-python",  # torchrun
    "--small",  # benchmarks.gpu
}  # fmt: skip


def named(page: Path) -> list[str]:
    """What stands in backticks, and every line of a shell block."""
    text = page.read_text()
    blocks = [line.removeprefix("$ ") for block in pages.read(page).blocks for line in block.text.splitlines()
              if block.language in ("sh", "console")]  # fmt: skip
    return [*INLINE.findall(re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)), *blocks]


@pytest.fixture(scope="module")
def commands() -> dict[str, set[str]]:
    """Command → its options."""
    context = click.Context(command_line)
    found = {}
    for name in command_line.list_commands(context):
        command = command_line.get_command(context, name)
        assert command is not None
        found[name] = {text for one in command.params for text in (*one.opts, *one.secondary_opts)} | {"--help"}
    return found


@pytest.mark.parametrize("page", PAGES)
def test_every_command_and_its_options_exist(page: Path, commands: dict[str, set[str]]) -> None:
    every = set.union(*commands.values()) | {"--debug", "--version"} | OPTIONS_OF_OTHERS
    for text in named(page):
        command = re.match(r"(?:\S*/)?onnxpress (?:--debug )?([a-z]+(?:-[a-z]+)*)", text)
        if command:
            assert command[1] in commands, text
            for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", text.replace("--debug", "")):
                assert option in commands[command[1]], f"{option} in {text}"
        elif text.startswith("--"):
            option = text.partition(" ")[0]
            assert option in every, text


@pytest.mark.parametrize("page", PAGES)
def test_every_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (pages.ROOT / "Makefile").read_text(), re.MULTILINE))
    for text in named(page):
        target = re.match(r"make ([a-z-]+)\b", text)
        if target:
            assert target[1] in targets, text


@pytest.mark.parametrize("page", PAGES)
def test_every_module_and_file_exists(page: Path) -> None:
    for text in named(page):
        module = re.search(r"python -m ((?:benchmarks|onnxpress)[\w.]*)", text)
        if module:
            assert importlib.util.find_spec(module[1]), text
        if re.fullmatch(r"(tests|recipes|scripts|benchmarks|core|training|export|serving|docs)/[\w./-]*", text):
            assert (pages.ROOT / text).exists(), text
        dotted = re.fullmatch(r"(onnxpress(?:\.\w+)+)", text)
        if dotted:
            assert _is_there(dotted[1]), text


@pytest.mark.parametrize("page", PAGES)
def test_every_extra_exists(page: Path) -> None:
    import tomllib

    extras = tomllib.loads((pages.ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for listed in re.findall(r"onnxpress\[([\w,]+)\]", page.read_text()):
        assert set(listed.split(",")) <= set(extras), listed


def _is_there(dotted: str) -> bool:
    """Whether it is a module, or an attribute of one."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for name in parts[length:]:
            if not hasattr(found, name):
                return False
            found = getattr(found, name)
        return True
    return False
