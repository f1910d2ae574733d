"""Versions are published whole or not at all, under concurrent, failing and killed publishers; and are found again."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from onnxpress.core.errors import BadModel, CorruptVersion, UsageError
from onnxpress.core.manifest import EquivalenceSummary, FileDigest, Manifest, Source
from onnxpress.core.tensors import parse_spec
from onnxpress.core.version_folder import (
    MODEL_FILE,
    check_files,
    locate,
    locate_one,
    read_manifest,
    staging,
    versions,
)

MANIFEST = Manifest(
    name="",
    created="2026-01-01T00:00:00Z",
    inputs=[parse_spec("x:float32[batch,2]")],
    outputs=[parse_spec("y:float32[batch]")],
    opset=18,
    ir_version=10,
    equivalence=EquivalenceSummary(equivalent=True, worst_multiple=1.5, limit=12.0, floor="float64"),
    source=Source(reference="nets:build", framework="pytorch", framework_version="2.13.0", converter="dynamo"),
)


def publish(repository: Path, name: str, content: bytes = b"model") -> Path:
    with staging(repository, name) as draft:
        (draft.folder / MODEL_FILE).write_bytes(content)
        (draft.folder / "golden.npz").write_bytes(content[::-1])
        return draft.publish(MANIFEST)[0]


def publish_many(repository: Path, name: str, tag: str, count: int) -> None:
    for number in range(count):
        publish(repository, name, f"{tag}-{number}".encode() * 1000)


def test_a_published_version_holds_files_and_their_digests(tmp_path: Path) -> None:
    folder = publish(tmp_path, "anomaly")
    assert folder == tmp_path / "anomaly" / "1"
    manifest = read_manifest(folder)
    assert manifest is not None
    assert (manifest.name, manifest.version) == ("anomaly", 1)
    assert set(manifest.files) == {MODEL_FILE, "golden.npz"}
    check_files(folder, manifest)
    assert os.listdir(tmp_path / "anomaly") == ["1"], "no staging folder stays"


def test_a_nested_file_counts_even_if_it_is_called_manifest(tmp_path: Path) -> None:
    with staging(tmp_path, "anomaly") as draft:
        (draft.folder / MODEL_FILE).write_bytes(b"model")
        (draft.folder / "assets").mkdir()
        (draft.folder / "assets" / "manifest.json").write_bytes(b"{}")
        _, manifest = draft.publish(MANIFEST)
    assert set(manifest.files) == {MODEL_FILE, "assets/manifest.json"}


def test_a_file_that_tells_the_versions_number_is_written_with_it(tmp_path: Path) -> None:
    for number in ("1", "2"):
        with staging(tmp_path, "anomaly") as draft:
            (draft.folder / MODEL_FILE).write_bytes(b"model")
            folder, manifest = draft.publish(MANIFEST, lambda made: {"page.html": f"{made.name} {made.version}"})
        assert (folder / "page.html").read_text() == f"anomaly {number}"
        assert set(manifest.files) == {MODEL_FILE, "page.html"}
        check_files(folder, manifest)


def test_numbers_go_up_and_leave_out_what_is_taken(tmp_path: Path) -> None:
    publish(tmp_path, "anomaly")
    (tmp_path / "anomaly" / "2").mkdir()  # someone's own folder, without a model
    assert publish(tmp_path, "anomaly").name == "3"


@pytest.mark.parametrize("name", ["", ".hidden", "-x", "a/b", "a b", "..", "x" * 129, "ä"])
def test_a_name_that_cannot_be_a_folder_everywhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be a model name"), staging(tmp_path, name):
        pass
    assert os.listdir(tmp_path) == []


def test_a_failed_publisher_leaves_nothing(tmp_path: Path) -> None:
    def fail_while_writing() -> None:
        with staging(tmp_path, "anomaly") as draft:
            (draft.folder / MODEL_FILE).write_bytes(b"half")
            raise RuntimeError("not equivalent")

    with pytest.raises(RuntimeError, match="not equivalent"):
        fail_while_writing()
    assert os.listdir(tmp_path) == []
    publish(tmp_path, "anomaly")
    with pytest.raises(RuntimeError, match="not equivalent"):
        fail_while_writing()
    assert os.listdir(tmp_path / "anomaly") == ["1"]


def test_concurrent_publishers_get_consecutive_numbers_and_whole_versions(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    publishers = [context.Process(target=publish_many, args=(tmp_path, "anomaly", tag, 6)) for tag in "abcd"]
    for publisher in publishers:
        publisher.start()
    for publisher in publishers:
        publisher.join(120)
        assert publisher.exitcode == 0
    found = versions(tmp_path / "anomaly")
    assert list(found) == list(range(1, 25))
    for number, folder in found.items():
        manifest = read_manifest(folder)
        assert manifest is not None
        assert manifest.version == number
        check_files(folder, manifest)
    assert len({(folder / MODEL_FILE).read_bytes() for folder in found.values()}) == 24
    assert len(os.listdir(tmp_path / "anomaly")) == 24


def test_a_number_taken_at_the_last_moment_is_left_to_who_took_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def overtaken(self: Path, target: Path) -> Path:
        monkeypatch.undo()
        publish(tmp_path, "anomaly", b"theirs")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", overtaken)
    mine = publish(tmp_path, "anomaly", b"mine")
    assert mine.name == "2"
    assert [(folder / MODEL_FILE).read_bytes() for folder in versions(tmp_path / "anomaly").values()] == [
        b"theirs",
        b"mine",
    ]
    manifest = read_manifest(mine)
    assert manifest is not None
    assert manifest.version == 2


def test_a_failing_publisher_does_not_pull_the_model_folder_from_under_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdir = Path.mkdir

    def pulled(self: Path, *arguments: Any, **keywords: Any) -> None:
        if self.name.startswith(".staging-"):
            monkeypatch.undo()
            self.parent.rmdir()  # as the other publisher does on its way out
        mkdir(self, *arguments, **keywords)

    monkeypatch.setattr(Path, "mkdir", pulled)
    assert publish(tmp_path, "anomaly").name == "1"


PUBLISH_FOREVER = """
import sys
from pathlib import Path
from tests.core.test_version_folder import publish
repository = Path(sys.argv[1])
print("ready", flush=True)
while True:
    publish(repository, "anomaly", b"model" * 200_000)
"""


def test_kill_9_leaves_whole_versions_only(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    for delay in (0.0, 0.004, 0.013, 0.03):
        with subprocess.Popen(
            [sys.executable, "-c", PUBLISH_FOREVER, str(tmp_path)], stdout=subprocess.PIPE, cwd=root
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            time.sleep(delay)
            child.send_signal(signal.SIGKILL)
        found = versions(tmp_path / "anomaly")
        assert list(found) == list(range(1, len(found) + 1))
        for folder in found.values():
            manifest = read_manifest(folder)
            assert manifest is not None
            check_files(folder, manifest)
    assert publish(tmp_path, "anomaly").name == str(len(found) + 1)


def test_what_a_killed_publisher_left_goes_after_a_day(tmp_path: Path) -> None:
    publish(tmp_path, "anomaly")
    for name, hours in (("old", 25), ("fresh", 1)):
        left = tmp_path / "anomaly" / f".staging-99-{name}"
        left.mkdir()
        os.utime(left, (time.time() - hours * 3600,) * 2)
    publish(tmp_path, "anomaly")
    assert sorted(os.listdir(tmp_path / "anomaly")) == [".staging-99-fresh", "1", "2"]


def test_only_numbers_that_triton_takes_are_versions(tmp_path: Path) -> None:
    for name in ("1", "12", "007", "0", "²", "v1", "1.5", "9" * 40, ".staging-1-x"):
        (tmp_path / name).mkdir()
        (tmp_path / name / MODEL_FILE).write_bytes(b"model")
    (tmp_path / "3").mkdir()
    assert list(versions(tmp_path)) == [1, 12]
    assert versions(tmp_path / "absent") == {}


def test_a_folder_without_manifest_is_somebody_elses_model(tmp_path: Path) -> None:
    assert read_manifest(tmp_path) is None


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda path: path.unlink(), "golden.npz is missing"),
        (lambda path: path.write_bytes(b"xx"), "golden.npz has 2 bytes, the manifest says 5"),
        (lambda path: path.write_bytes(b"LEDOM"), "golden.npz is not the file that was published"),
    ],
)
def test_a_changed_file_is_named(tmp_path: Path, harm: object, said: str) -> None:
    folder = publish(tmp_path, "anomaly")
    manifest = read_manifest(folder)
    assert manifest is not None
    assert callable(harm)
    harm(folder / "golden.npz")
    with pytest.raises(CorruptVersion, match=said):
        check_files(folder, manifest)


@pytest.mark.parametrize("name", ["../other", "/etc/hostname", "assets/../../other"])
def test_a_manifest_cannot_point_outside_its_folder(tmp_path: Path, name: str) -> None:
    manifest = msgspec.structs.replace(MANIFEST, files={name: FileDigest(size=1, sha256="")})
    with pytest.raises(CorruptVersion, match="outside the version folder"):
        check_files(tmp_path, manifest)


def test_locate_finds_every_form(tmp_path: Path) -> None:
    folder = publish(tmp_path, "anomaly")
    publish(tmp_path, "anomaly")
    publish(tmp_path, "text")
    plain = tmp_path / "plain.onnx"
    plain.write_bytes(b"model")
    anomaly = {number: tmp_path / "anomaly" / str(number) / MODEL_FILE for number in (1, 2)}
    text = {1: tmp_path / "text" / "1" / MODEL_FILE}
    for path, form, models in [
        (plain, "file", {"plain": {1: plain}}),
        (folder, "version", {"anomaly": {1: anomaly[1]}}),
        (folder / MODEL_FILE, "version", {"anomaly": {1: anomaly[1]}}),
        (tmp_path / "anomaly", "model", {"anomaly": anomaly}),
        (tmp_path, "repository", {"anomaly": anomaly, "text": text}),
    ]:
        located = locate(path)
        assert (located.form, located.models) == (form, models)


def test_a_version_folder_made_elsewhere_is_named_by_its_place(tmp_path: Path) -> None:
    for folder in (tmp_path / "resnet" / "4", tmp_path / "loose"):
        folder.mkdir(parents=True)
        (folder / MODEL_FILE).write_bytes(b"model")
    assert locate(tmp_path / "resnet" / "4").models == {"resnet": {4: tmp_path / "resnet" / "4" / MODEL_FILE}}
    assert locate(tmp_path / "loose").models == {"loose": {1: tmp_path / "loose" / MODEL_FILE}}


def test_a_relative_path_has_a_name_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(tmp_path, "anomaly")
    monkeypatch.chdir(tmp_path / "anomaly")
    assert list(locate(Path(".")).models) == ["anomaly"]


@pytest.mark.parametrize(
    ("path", "said"),
    [("absent", "no such file or folder"), ("notes.txt", "not an .onnx file"), (".", "no model here.*\n.*hint")],
)
def test_where_there_is_no_model_it_says_what_was_looked_for(tmp_path: Path, path: str, said: str) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(BadModel, match=said):
        locate(tmp_path / path)


def test_locate_one_takes_the_latest_version_and_wants_one_model(tmp_path: Path) -> None:
    publish(tmp_path, "anomaly")
    publish(tmp_path, "anomaly")
    assert locate_one(tmp_path) == ("anomaly", 2, tmp_path / "anomaly" / "2" / MODEL_FILE)
    publish(tmp_path, "text")
    with pytest.raises(UsageError, match=r"2 models here: anomaly, text.*\n.*name one"):
        locate_one(tmp_path)
