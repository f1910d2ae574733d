"""The options of `serve`: those that it always had, and where a setting may come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from onnxpress.core.fields import fields_of
from onnxpress.serving import server
from onnxpress.serving.cli.serve import serve
from onnxpress.serving.settings import GROUPS, ServerSettings

# What scripts rely on: each option's type, default, and whether it is a flag (True) or may stand several times (...).
KEPT: dict[str, tuple[str, Any, Any]] = {
    "--host": ("text", ("127.0.0.1",), ...),
    "--port": ("0<=x<=65535", 8000, None),
    "--provider": ("text", "cpu", None),
    "--threads": ("x>=1", None, None),
    "--workers": ("x>=1", 1, None),
    "--cores": ("text", None, None),
    "--versions": ("text", "latest", None),
    "--variant": ("newest|auto", "newest", None),
    "--require-equivalence": ("boolean", False, True),
    "--instances": ("x>=1", 1, None),
    "--prepack/--no-prepack": ("boolean", True, True),
    "--isolate": ("boolean", False, True),
    "--run-limit": ("x>0", None, None),
    "--load-limit": ("x>0", None, None),
    "--custom-ops": ("file", (), ...),
    "--max-body": ("x>=1", 64 * 1024 * 1024, None),
    "--max-held": ("x>=1", 1024**3, None),
    "--max-head": ("x>=256", 32 * 1024, None),
    "--max-connections": ("x>=1", 10_000, None),
    "--request-timeout": ("x>=1", 60, None),
    "--idle-timeout": ("x>=1", 75, None),
    "--max-batch": ("x>=1", None, None),
    "--max-waiting": ("x>=1", 1024, None),
    "--poll": ("x>=0", 0.0, None),
    "--model-control": ("boolean", False, True),
    "--ready-when": ("all|any|started", "all", None),
    "--tokens": ("file", None, None),
    "--unix": ("path", None, None),
    "--tls-certificate": ("file", None, None),
    "--tls-key": ("file", None, None),
    "--allow-origin": ("text", (), ...),
    "--plain-rows": ("boolean", False, True),
    "--access-log": ("boolean", False, True),
    "--page": ("boolean", False, True),
    "--platform": ("none|sagemaker|vertex", "none", None),
    "--log-format": ("plain|timed|json", "plain", None),
    "--trace": ("text", None, None),
    "--compress-from": ("x>=0", None, None),
    "--drain-delay": ("x>=0", 0.0, None),
    "--grace": ("x>=0", 30.0, None),
}


def shown(kind: Any) -> str:
    if isinstance(kind, click.IntRange | click.FloatRange):
        return kind._describe_range()
    return "|".join(kind.choices) if isinstance(kind, click.Choice) else str(kind.name)


def test_every_option_keeps_its_name_default_and_range() -> None:
    parsed = serve.make_context("serve", []).params
    found = {
        "/".join((*one.opts, *one.secondary_opts)): (
            shown(one.type),
            parsed[str(one.name)],
            ... if one.multiple else one.is_flag or None,
        )
        for one in serve.params
        if isinstance(one, click.Option)
    }
    assert found.pop("--config") == ("file", None, None)
    assert found == KEPT


def called(monkeypatch: pytest.MonkeyPatch, *arguments: str, **environment: str) -> ServerSettings:
    """What the server is told."""
    done, told = invoked(monkeypatch, *arguments, **environment)
    assert done.exit_code == 0, done.output
    (settings,) = told
    return settings


def invoked(
    monkeypatch: pytest.MonkeyPatch, *arguments: str, **environment: str
) -> tuple[Result, list[ServerSettings]]:
    told: list[ServerSettings] = []

    def run(settings: ServerSettings, on_ready: object) -> server.Ended:
        told.append(settings)
        return server.Ended(unanswered=0, busy=False)

    monkeypatch.setattr(server, "run", run)
    return CliRunner().invoke(serve, arguments, env=environment), told


def test_nothing_said_is_the_structs_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    assert called(monkeypatch) == ServerSettings()


def test_every_option_and_variable_reaches_its_field(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each one alone, in both ways, with another value than the default."""
    file = tmp_path / "file"
    file.touch()
    needs: dict[str, Any] = {"load_limit": {"isolate": True}}
    needs |= {"tls_key": {"tls_certificate": file}, "tls_certificate": {"tls_key": file}}
    for group, struct in GROUPS.items():
        for field in fields_of(struct):
            if not field.extra.get("option", True):
                continue
            value: Any = {int: 300, float: 1.5, bool: not field.default, str: "all", Path: file}.get(field.kind)
            value = {
                "provider": "cuda:1",
                "ready_when": "any",
                "variant": "auto",
                "log_format": "json",
                "platform": "vertex",
            }.get(field.name, value)
            if isinstance(field.default, tuple):
                value = (file.resolve(),) if field.name == "custom_ops" else ("https://a",)
            before = {"isolate": "1"} if "isolate" in needs.get(field.name, {}) else {}
            before |= {name: str(file) for name in needs.get(field.name, {}) if name != "isolate"}
            environment = {f"ONNXPRESS_{name.upper()}": text for name, text in before.items()}
            text = str(value[0] if isinstance(value, tuple) else value)
            spelled = "--" + field.name.replace("_", "-")
            said = [spelled, text]
            if field.kind is bool:
                said = [spelled if value else spelled.replace("--", "--no-")]
            by_option = called(monkeypatch, *said, **environment)
            by_variable = called(monkeypatch, **environment, **{f"ONNXPRESS_{field.name.upper()}": text})
            assert getattr(getattr(by_option, group), field.name) == value
            assert by_variable == by_option


def test_an_option_goes_before_the_environment_and_that_before_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "serve.toml").write_text(
        "path = 'm'\n[address]\nport = 1\nhost = '1'\n[limits]\nmax_head = 1000\n[models]\nmodel_control = true\n"
    )
    config = ("--config", str(tmp_path / "serve.toml"))
    found = called(monkeypatch, *config, "--port", "8000", ONNXPRESS_PORT="2", ONNXPRESS_HOST="2")
    # An option that says what is the default anyway was said all the same.
    assert (found.address.port, found.address.host, found.limits.max_head) == (8000, ("2",), 1000)
    assert (found.path, found.models.model_control) == (tmp_path / "m", True)
    assert called(monkeypatch, *config, ONNXPRESS_MODEL_CONTROL="false").models.model_control is False
    assert called(monkeypatch, *config, ONNXPRESS_PATH="p").path == Path("p")
    assert called(monkeypatch, *config, "q", ONNXPRESS_PATH="p").path == Path("q")
    assert called(monkeypatch, ONNXPRESS_CONFIG=config[1]).address.port == 1


def test_several_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    found = called(monkeypatch, ONNXPRESS_ALLOW_ORIGIN="https://a https://b")
    assert found.access.allow_origin == ("https://a", "https://b")


def test_the_variables_that_kubernetes_sets_for_a_service_are_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    # A Service named onnxpress gives every pod of its namespace these.
    found = called(
        monkeypatch, ONNXPRESS_PORT="tcp://10.0.0.1:80", ONNXPRESS_SERVICE_HOST="10.0.0.1", ONNXPRESS_SERVICE_PORT="80"
    )
    assert found == ServerSettings()


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        (["--port", "many"], {}, "'many' is not a valid integer"),
        ([], {"ONNXPRESS_PORT": "many"}, "'many' is not a valid integer"),
        ([], {"ONNXPRESS_MAX_HEAD": "1"}, "1 is not in the range x>=256"),
        (["--tokens", "none"], {}, "File 'none' does not exist"),
        (["--prot", "1"], {}, "No such option '--prot'"),
    ],
)
def test_a_wrong_option_or_variable_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], environment: dict[str, str], said: str
) -> None:
    done, told = invoked(monkeypatch, *arguments, **environment)
    assert (done.exit_code, told) == (2, [])
    assert said in done.stderr


def test_help_has_a_section_for_every_group() -> None:
    text = CliRunner().invoke(serve, ["--help"]).stdout
    sections = {block.partition(":\n")[0].strip(): block for block in text.split("\n\n")}
    for struct in GROUPS.values():
        block = sections[str(struct.__doc__).partition(":")[0]]
        for field in fields_of(struct):
            if field.extra.get("option", True):
                assert f"  --{field.name.replace('_', '-')} " in block
    assert "--config" in sections["Options"]
    assert "ONNXPRESS_MAX_BODY" in text
