"""The server's settings: checked where they are made, each named once, in a file, the environment and on the line."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from onnxpress.core.errors import UsageError
from onnxpress.core.fields import fields_of
from onnxpress.serving import settings_file
from onnxpress.serving.settings import (
    GROUPS,
    AccessSettings,
    Address,
    AnswerSettings,
    ConnectionLimits,
    ModelSettings,
    ProcessSettings,
    ServerSettings,
)

FIELDS = [field for struct in GROUPS.values() for field in fields_of(struct)]


def test_a_name_stands_once_over_all_groups() -> None:
    # Or an option, or an environment variable, would not say which is meant.
    names = Counter(field.name for field in FIELDS)
    names.update(field.name for field in fields_of(ServerSettings))
    assert {name for name, count in names.items() if count > 1} == set()


def test_every_setting_is_described() -> None:
    assert [field.name for field in FIELDS if not field.description.endswith(".")] == []
    assert [name for name, struct in GROUPS.items() if not struct.__doc__] == []


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ConnectionLimits(max_head=5), "ConnectionLimits.max_head: expected an integer, at least 256; got 5"),
        (lambda: Address(port=70000), "Address.port: expected an integer, 0 to 65535; got 70000"),
        (lambda: Address(port="80"), "Address.port: expected an integer, 0 to 65535; got '80'"),
        (lambda: Address(tls_key=Path("/none")), "Address.tls_key: there is no file '/none'"),
        (lambda: Address(tls_key=Path(__file__)), "TLS needs both, --tls-certificate and --tls-key"),
        (lambda: ModelSettings(provider="gpu"), "there is no provider 'gpu'"),
        (lambda: ModelSettings(custom_ops=(Path("/none"),)), "ModelSettings.custom_ops: there is no file '/none'"),
        (lambda: ProcessSettings(load_limit=3.0), "needs --isolate"),
        (lambda: ProcessSettings(isolate=True, load_limit=0), "expected a number, above 0; got 0"),
        (lambda: AccessSettings(allow_origin="https://a"), "expected a list of texts; got 'https://a'"),
        (lambda: AnswerSettings(compress_from=-1), "expected an integer, at least 0; got -1"),
        (lambda: ServerSettings(address={"port": 70000}), "Address.port: expected an integer, 0 to 65535; got 70000"),
        (
            lambda: ServerSettings(address={"prot": 1}),
            "address: there is no setting 'prot'\n  hint: did you mean 'port'?",
        ),
        (lambda: ServerSettings(limits=5), "ServerSettings.limits: expected a ConnectionLimits; got 5"),
        (
            lambda: ServerSettings(processes=ProcessSettings(workers=2), models=ModelSettings(model_control=True)),
            "--model-control cannot be had with several --workers",
        ),
        (
            lambda: ServerSettings(processes=ProcessSettings(workers=2), address=Address(unix=Path("s"))),
            "--unix cannot be had with several --workers",
        ),
    ],
)
def test_a_wrong_setting_is_refused_where_it_is_made(make: Any, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        make()
    assert said in str(caught.value)


def test_what_is_made_has_the_fields_types() -> None:
    found = ServerSettings(path="models", models=ModelSettings(poll=5, custom_ops=[__file__]))  # type: ignore[arg-type]
    assert found.path == Path("models")
    assert isinstance(found.models.poll, float)
    assert found.models.custom_ops == (Path(__file__).resolve(),)
    isolated = ProcessSettings(isolate=True, run_limit=2)
    assert (isolated.run_seconds, isolated.load_seconds) == (2.0, 60.0)
    assert (ProcessSettings(isolate=True).run_seconds, ProcessSettings().run_seconds) == (30.0, 300.0)


def test_one_host_may_stand_alone_and_none_is_none() -> None:
    assert Address(host="::1").host == ("::1",)  # type: ignore[arg-type]
    assert Address(host=["::1", "127.0.0.1"]).host == ("::1", "127.0.0.1")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"Address.host: expected a list of texts, 1 or more of them; got \(\)"):
        Address(host=())


def config(folder: Path, text: str, name: str = "serve.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_file_in_each_form(tmp_path: Path) -> None:
    texts = {
        "a.toml": 'path = "m"\n[address]\nport = 1\n[limits]\nmax_body = 9\n[access]\nallow_origin = ["*"]\n',
        "a.json": '{"path": "m", "address": {"port": 1}, "limits": {"max_body": 9}, "access": {"allow_origin": ["*"]}}',
        "a.yaml": "path: m\naddress: {port: 1}\nlimits: {max_body: 9}\naccess: {allow_origin: ['*']}\n",
    }
    if "yaml" not in sys.modules:
        pytest.importorskip("yaml")
    found = [settings_file.load(config(tmp_path, text, name)) for name, text in texts.items()]
    assert found[0] == found[1] == found[2]
    assert (found[0].path, found[0].address.port, found[0].limits.max_body) == (tmp_path / "m", 1, 9)
    assert found[0].limits.max_head == ConnectionLimits().max_head


def test_what_is_given_goes_before_the_file(tmp_path: Path) -> None:
    path = config(tmp_path, "[address]\nport = 1\nhost = '::1'\n[models]\npoll = 2\n")
    found = settings_file.load(path, {"port": 5, "max_body": 7, "path": Path("here")})
    assert (found.address.port, found.address.host, found.models.poll, found.limits.max_body) == (5, ("::1",), 2.0, 7)
    assert found.path == Path("here")
    assert settings_file.load() == ServerSettings()


def test_paths_are_taken_from_the_files_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    for name in ("tokens", "ops.so"):
        (folder / name).touch()
    monkeypatch.chdir(tmp_path)
    path = config(folder, "path = '../m'\n[access]\ntokens = 'tokens'\n[models]\ncustom_ops = ['ops.so']\n")
    found = settings_file.load(path.relative_to(tmp_path))
    assert found.path.resolve() == tmp_path / "m"
    assert found.access.tokens == Path("etc/tokens")
    assert found.models.custom_ops == (folder / "ops.so",)


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("[limits]\nmax_bodi = 1", "limits.max_bodi: there is no such setting", "did you mean 'max_body'?"),
        ("[limits]\nmax-body = 1", "limits.max-body: there is no such setting", "did you mean 'max_body'?"),
        ("port = 1", "port: there is no such setting", "it is address.port"),
        ("[models]\nport = 1", "models.port: there is no such setting", "it is address.port"),
        ("[adress]\nport = 1", "adress: there is no such setting", "did you mean 'address'?"),
        ("limits = 5", "limits: expected a table; got 5", "it has: max_body"),
        ("[limits]\nmax_head = 1", "limits.max_head: expected an integer, at least 256; got 1", ""),
        ("[limits]\nmax_head = '4096'", "limits.max_head: expected an integer, at least 256; got '4096'", ""),
        ("[access]\ntokens = 'none'", "there is no file", ""),
    ],
)
def test_a_wrong_file_is_said_with_the_place(tmp_path: Path, text: str, said: str, hint: str) -> None:
    path = config(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        settings_file.load(path)
    assert said in str(caught.value)
    assert hint in str(caught.value)
    if "there is no file" not in said:
        assert str(caught.value).startswith(f"{path}: ")


def test_an_empty_file_says_nothing(tmp_path: Path) -> None:
    assert settings_file.load(config(tmp_path, "")) == ServerSettings()
    with pytest.raises(UsageError, match="not a configuration"):
        settings_file.load(config(tmp_path, "[1]", "a.json"))
