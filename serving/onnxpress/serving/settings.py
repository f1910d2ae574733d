"""What a server is told: one frozen struct, in groups, checked where it is made.

The options of `onnxpress serve` and their help, its configuration file, its environment variables and the page
docs/serving-options.md are made of these fields; an option has the field's name. Beside the words about a field stand,
where they are needed: `unit`; `default`, where None stands for something; `metavar`; `past`, what a caller meets beyond
a limit; `file`, that it must exist; `option`, False where there is none; `alone`, that a text stands for a list of one.
"""

# Without `from __future__ import annotations`: these types are read at every start, and reading them as text costs
# milliseconds.
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from onnxpress.core.errors import UsageError
from onnxpress.core.fields import fields_of
from onnxpress.core.spelling import did_you_mean

_RUN_SECONDS, _LOAD_SECONDS = 30.0, 60.0
"""of a model in a process of its own, which can be ended at any moment and started again"""
_RUN_SECONDS_HERE = 300.0
"""of one in the server's process, where the runtime is asked to end a run"""

_Count = Annotated[int, Meta(ge=1)]
_Positive = Annotated[float, Meta(gt=0)]
_NotNegative = Annotated[float, Meta(ge=0)]


def _says(description: str, **extra: Any) -> Meta:
    return Meta(description=description, extra=extra)


class _Group(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    def __post_init__(self) -> None:
        for field in fields_of(type(self)):
            where = f"{type(self).__name__}.{field.name}"
            given = getattr(self, field.name)
            if given is field.default:
                continue  # it is what the field takes
            if isinstance(given, dict) and isinstance(field.default, _Group):
                given = _from_table(field.kind, given, where)
            try:
                value = field.convert(given)
            except ValueError as error:
                raise UsageError(str(error), where=where) from None
            msgspec.structs.force_setattr(self, field.name, value)
            if field.extra.get("file"):
                for path in value if isinstance(value, tuple) else [value]:
                    if path is not None and not path.is_file():
                        raise UsageError(f"there is no file {str(path)!r}", where=where)


def _from_table(kind: type[_Group], table: dict[str, Any], where: str) -> _Group:
    for name in table:
        if name not in kind.__struct_fields__:
            hint = did_you_mean(name, kind.__struct_fields__, "there are")
            raise UsageError(f"there is no setting {name!r}", where=where, hint=hint)
    return kind(**table)


class Address(_Group, frozen=True, kw_only=True):
    """Address: where it listens."""

    host: Annotated[
        tuple[str, ...],
        Meta(min_length=1),
        _says("Name or address to listen on; 0.0.0.0 is every network, :: that and IPv6. Repeatable.", alone=True),
    ] = ("127.0.0.1",)
    port: Annotated[int, Meta(ge=0, le=65535), _says("Port to listen on; 0 takes a free one.")] = 8000
    unix: Annotated[Path | None, _says("Listen on this Unix socket instead of a port.")] = None
    tls_certificate: Annotated[
        Path | None, _says("PEM file of the certificate; with --tls-key, speak TLS.", file=True)
    ] = None
    tls_key: Annotated[Path | None, _says("PEM file of the certificate's key.", file=True)] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise UsageError("TLS needs both, --tls-certificate and --tls-key")


class ModelSettings(_Group, frozen=True, kw_only=True):
    """Models: which, and how they run."""

    versions: Annotated[
        str, _says("Which versions to serve: latest, latest:N, all, or 1,3 by number.", metavar="POLICY")
    ] = "latest"
    variant: Annotated[
        Literal["newest", "auto"],
        _says("Of a version and those derived from it: the newest, or the quickest that passes its self-test here."),
    ] = "newest"
    require_equivalence: Annotated[bool, _says("Refuse models whose equivalence was never measured.")] = False
    custom_ops: Annotated[
        tuple[Path, ...],
        _says("Let the models use the operators of this shared library. Repeatable.", metavar="LIBRARY", file=True),
    ] = ()
    provider: Annotated[
        str,
        _says(
            "Where to run the models: cpu, cuda or cuda:N, with options after commas; see docs/cuda.md.",
            metavar="DEVICE",
        ),
    ] = "cpu"
    threads: Annotated[
        _Count | None, _says("Threads of each model.", default="the profile's, or a share of the CPUs")
    ] = None
    instances: Annotated[
        _Count,
        _says(
            "Long runs of one model at the same time, in one session. The next batch is formed while others run, and "
            "copies to a GPU overlap with its runs."
        ),
    ] = 1
    prepack: Annotated[
        bool,
        _says(
            "Lay weights out as the kernels like them. Without, external ones stay in their file, mapped once for all "
            "workers, and batches are slower."
        ),
    ] = True
    max_batch: Annotated[
        _Count | None,
        _says(
            "Most rows that run together.",
            default="the profile's, or 64",
            past="the next run; one request may have more",
        ),
    ] = None
    max_waiting: Annotated[_Count, _says("Most requests that wait for one model.", past="503, `Retry-After: 1`")] = 1024
    poll: Annotated[_NotNegative, _says("Look for new versions so often; 0: never.", unit="seconds")] = 0.0
    model_control: Annotated[bool, _says("Let callers load and unload models.")] = False
    ready_when: Annotated[
        Literal["all", "any", "started"],
        _says("When the server is ready: all models are loaded and none failed, any is loaded, or it has started."),
    ] = "all"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.provider != "cpu":
            from onnxpress.core.device import parse

            parse(self.provider)
        # A bare name would be looked for among the system's libraries.
        msgspec.structs.force_setattr(self, "custom_ops", tuple(path.resolve() for path in self.custom_ops))


class ProcessSettings(_Group, frozen=True, kw_only=True):
    """Processes: how many, and whether models have their own."""

    workers: Annotated[_Count, _says("Worker processes on the one port.")] = 1
    cores: Annotated[
        str | None,
        _says("Run on these CPUs alone, such as 0-3,6: the server, its workers and its models.", metavar="LIST"),
    ] = None
    isolate: Annotated[bool, _says("Run every model in a process of its own, started again when it ends.")] = False
    run_limit: Annotated[
        _Positive | None,
        _says(
            "A run that takes longer is ended, at the end of the operator that it is at; with --isolate at once, with "
            "the model's process.",
            unit="seconds",
            default=f"{_RUN_SECONDS_HERE:g}, or {_RUN_SECONDS:g} with --isolate",
            past="503",
        ),
    ] = None
    load_limit: Annotated[
        _Positive | None,
        _says("With --isolate: loading that takes longer ends it too.", unit="seconds", default=f"{_LOAD_SECONDS:g}"),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.isolate and self.load_limit is not None:
            raise UsageError("--load-limit needs --isolate: loading in this process cannot be ended")

    @property
    def run_seconds(self) -> float:
        """How long a run may take."""
        if self.run_limit is not None:
            return self.run_limit
        return _RUN_SECONDS if self.isolate else _RUN_SECONDS_HERE

    @property
    def load_seconds(self) -> float:
        """How long loading may take there."""
        return _LOAD_SECONDS if self.load_limit is None else self.load_limit


class ConnectionLimits(_Group, frozen=True, kw_only=True):
    """Limits: what a caller may ask of it."""

    max_body: Annotated[
        _Count,
        _says(
            "Largest body of a request, also after unpacking.",
            unit="bytes",
            past="413, connection closed (kept open where only unpacking is past it)",
        ),
    ] = 64 * 1024 * 1024
    max_held: Annotated[
        _Count,
        _says(
            "Most that bodies of 64 KiB and more hold together while they are read, wait or run, also unpacked and as "
            "arrays, with answers that wait; per process.",
            unit="bytes",
            past="503, `Retry-After: 1`, connection closed",
        ),
    ] = 1 << 30
    max_head: Annotated[
        int,
        Meta(ge=256),
        _says("Largest request line and headers.", unit="bytes", past="431, connection closed"),
    ] = 32 * 1024
    max_connections: Annotated[_Count, _says("Most open connections, per process.", past="503, `Retry-After: 1`")] = (
        10_000
    )
    request_timeout: Annotated[
        _Count,
        _says(
            "Time for a request to arrive, and for a client to take some of its answer.",
            unit="seconds",
            past="408, connection closed; or connection cut",
        ),
    ] = 60
    idle_timeout: Annotated[
        _Count,
        _says("Time that a connection may be open without a request.", unit="seconds", past="connection closed"),
    ] = 75
    linger: Annotated[
        _Count,
        _says(
            "Time for a client to read a refusal before the connection is cut.",
            unit="seconds",
            past="connection cut",
            option=False,
        ),
    ] = 5
    drain_delay: Annotated[
        _NotNegative,
        _says(
            "Time after SIGTERM in which new callers are still answered, so that others learn that it is not ready.",
            unit="seconds",
            past="new callers are refused",
        ),
    ] = 0.0
    grace: Annotated[
        _NotNegative,
        _says(
            "Time to finish accepted requests after SIGTERM and --drain-delay.",
            unit="seconds",
            past="cut, exit code 1; a second signal cuts at once",
        ),
    ] = 30.0


class AccessSettings(_Group, frozen=True, kw_only=True):
    """Access: who may ask."""

    tokens: Annotated[
        Path | None, _says("Answer only callers that show a bearer token of this file, one a line.", file=True)
    ] = None
    allow_origin: Annotated[
        tuple[str, ...], _says("Let web pages of this origin ask; * for all. Repeatable.", metavar="ORIGIN")
    ] = ()


class AnswerSettings(_Group, frozen=True, kw_only=True):
    """Answers: how they are sent and noted."""

    plain_rows: Annotated[
        bool, _says("Answer GET /health too, and POST /predict and /models/NAME with rows of named columns.")
    ] = False
    platform: Annotated[
        Literal["none", "sagemaker", "vertex"],
        _says("Be the container of SageMaker or Vertex AI: their paths, and the port and folder that they say."),
    ] = "none"
    page: Annotated[
        bool, _says("Show the page of the models at / on every network; on loopback alone it is there anyway.")
    ] = False
    access_log: Annotated[bool, _says("Write a line of JSON to stderr for every answer.")] = False
    log_format: Annotated[
        Literal["plain", "timed", "json"],
        _says("How lines of the log look: as they are, with the time before them, or as JSON with time and message."),
    ] = "plain"
    trace: Annotated[
        str | None,
        _says(
            "Send traces by OTLP over HTTP to the collector at this URL, such as http://127.0.0.1:4318.",
            metavar="URL",
            default="OTEL_EXPORTER_OTLP_ENDPOINT, if set",
        ),
    ] = None
    compress_from: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        _says("Gzip answers of so many bytes and more where they are accepted.", unit="bytes"),
    ] = None


class ServerSettings(_Group, frozen=True, kw_only=True):
    """All that `onnxpress serve` can be told, in groups: structs of this module, or dicts of their fields.

    >>> from onnxpress.serving.settings import ConnectionLimits
    >>> settings = onnxpress.ServerSettings(address={"port": 0}, limits=ConnectionLimits(max_body=1 << 20))
    >>> settings.address.port, settings.limits.max_head
    (0, 32768)

    A group may be a dict: `ServerSettings(address={"port": 0})`.

    Raises UsageError, with the field's name, where a value is not what the field takes, or two exclude each other.
    """

    path: Annotated[Path, _says("An .onnx file, a version, a model or a repository.")] = Path("models")
    address: Address = Address()
    models: ModelSettings = ModelSettings()
    processes: ProcessSettings = ProcessSettings()
    limits: ConnectionLimits = ConnectionLimits()
    access: AccessSettings = AccessSettings()
    answers: AnswerSettings = AnswerSettings()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.answers.platform != "none" and self.access.tokens is not None:
            raise UsageError("--platform cannot be had with --tokens: the platform checks its callers, and shows none")
        if self.processes.workers > 1:
            # One socket, and one set of models, for all workers to share.
            for option, given in (("--unix", self.address.unix), ("--model-control", self.models.model_control)):
                if given:
                    raise UsageError(f"{option} cannot be had with several --workers")


GROUPS: dict[str, Any] = {
    field.name: field.kind for field in fields_of(ServerSettings) if issubclass(field.kind, msgspec.Struct)
}
"""name in ServerSettings → the group's struct"""
