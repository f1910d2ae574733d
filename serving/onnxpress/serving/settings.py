"""What a server is told: one frozen struct, in groups, checked where it is made.

The options of `onnxpress serve` and their help, its configuration file, its environment variables and the page
docs/serving-options.md are made of these fields; an option has the field's name. `Meta.extra` holds what the types do
not say: `unit`, `default` (in words, where None stands for something), `metavar`, `past` (what a caller meets beyond a
limit), `file` (it must exist), `option` (False: there is none).
"""

# Without `from __future__ import annotations`: these types are read at every start, and reading them as text costs
# milliseconds.
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from onnxpress.core.errors import UsageError
from onnxpress.core.fields import fields_of

_RUN_SECONDS, _LOAD_SECONDS = 30.0, 60.0


class _Group(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    def __post_init__(self) -> None:
        for field in fields_of(type(self)):
            where = f"{type(self).__name__}.{field.name}"
            try:
                value = field.convert(getattr(self, field.name))
            except ValueError as error:
                raise UsageError(str(error), where=where) from None
            msgspec.structs.force_setattr(self, field.name, value)
            if field.extra.get("file"):
                for path in value if isinstance(value, tuple) else [value]:
                    if path is not None and not path.is_file():
                        raise UsageError(f"there is no file {str(path)!r}", where=where)


class Address(_Group, frozen=True, kw_only=True):
    """Where it listens."""

    host: Annotated[str, Meta(description="Name or address to listen on; 0.0.0.0 is every network.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="0 takes a free one.")] = 8000
    unix: (
        Annotated[Path, Meta(description="Listen on this Unix socket instead of a port.", extra={"metavar": "PATH"})]
        | None
    ) = None
    tls_certificate: (
        Annotated[Path, Meta(description="PEM file; with --tls-key, speak TLS.", extra={"file": True})] | None
    ) = None
    tls_key: Annotated[Path, Meta(description="PEM file.", extra={"file": True})] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise UsageError("TLS needs both, --tls-certificate and --tls-key")


class ModelSettings(_Group, frozen=True, kw_only=True):
    """Which models, and how they run."""

    versions: Annotated[
        str, Meta(description="latest, latest:N, all, or 1,3 by number.", extra={"metavar": "POLICY"})
    ] = "latest"
    require_equivalence: Annotated[bool, Meta(description="Refuse models whose equivalence was never measured.")] = (
        False
    )
    custom_ops: Annotated[
        tuple[Path, ...],
        Meta(
            description="Let the models use the operators of this shared library.",
            extra={"metavar": "LIBRARY", "file": True},
        ),
    ] = ()
    provider: Annotated[
        str,
        Meta(
            description="Where to run the models: cpu, cuda or cuda:N, with options after commas; see docs/cuda.md.",
            extra={"metavar": "DEVICE"},
        ),
    ] = "cpu"
    threads: (
        Annotated[int, Meta(ge=1, description="Per model.", extra={"default": "the profile's, or a share of the CPUs"})]
        | None
    ) = None
    prepack: Annotated[
        bool,
        Meta(
            description="Without, external weights stay in their file, mapped once for all workers; batches are slower."
        ),
    ] = True
    max_batch: (
        Annotated[
            int,
            Meta(
                ge=1,
                description="Rows run together.",
                extra={"default": "the profile's, or 64", "past": "the next run; one request may have more"},
            ),
        ]
        | None
    ) = None
    max_waiting: Annotated[
        int, Meta(ge=1, description="Requests waiting per model.", extra={"past": "503, `Retry-After: 1`"})
    ] = 1024
    poll: Annotated[
        float,
        Meta(ge=0, description="Look for new versions so often; 0: never.", extra={"unit": "seconds"}),
    ] = 0.0
    model_control: Annotated[bool, Meta(description="Let callers load and unload models.")] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.provider != "cpu":
            from onnxpress.core.device import parse

            parse(self.provider)
        # A bare name would be looked for among the system's libraries.
        msgspec.structs.force_setattr(self, "custom_ops", tuple(path.resolve() for path in self.custom_ops))


class ProcessSettings(_Group, frozen=True, kw_only=True):
    """Its processes."""

    workers: Annotated[int, Meta(ge=1, description="Processes on the one port.")] = 1
    isolate: Annotated[
        bool, Meta(description="Run every model in a process of its own, started again when it ends.")
    ] = False
    run_limit: (
        Annotated[
            float,
            Meta(
                gt=0,
                description="With --isolate: a run that takes longer ends the model's process.",
                extra={"unit": "seconds", "default": f"{_RUN_SECONDS:g}"},
            ),
        ]
        | None
    ) = None
    load_limit: (
        Annotated[
            float,
            Meta(
                gt=0,
                description="With --isolate: the same for loading.",
                extra={"unit": "seconds", "default": f"{_LOAD_SECONDS:g}"},
            ),
        ]
        | None
    ) = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.isolate and (self.run_limit is not None or self.load_limit is not None):
            raise UsageError("--run-limit and --load-limit need --isolate: what runs in this process cannot be ended")

    @property
    def run_seconds(self) -> float:
        """How long a run may take in a process of its own."""
        return _RUN_SECONDS if self.run_limit is None else self.run_limit

    @property
    def load_seconds(self) -> float:
        """How long loading may take there."""
        return _LOAD_SECONDS if self.load_limit is None else self.load_limit


class ConnectionLimits(_Group, frozen=True, kw_only=True):
    """What a caller may ask of it."""

    max_body: Annotated[
        int,
        Meta(
            ge=1,
            description="Of one body, also after unpacking.",
            extra={
                "unit": "bytes",
                "past": "413, connection closed (kept open where only unpacking is past it)",
            },
        ),
    ] = 64 * 1024 * 1024
    max_held: Annotated[
        int,
        Meta(
            ge=1,
            description="Of all bodies of 64 KiB and more that are read, wait or run, per process.",
            extra={"unit": "bytes", "past": "503, `Retry-After: 1`, connection closed"},
        ),
    ] = 1 << 30
    max_head: Annotated[
        int,
        Meta(
            ge=256,
            description="Of request line and headers.",
            extra={"unit": "bytes", "past": "431, connection closed"},
        ),
    ] = 32 * 1024
    max_connections: Annotated[int, Meta(ge=1, description="Per process.", extra={"past": "503, `Retry-After: 1`"})] = (
        10_000
    )
    request_timeout: Annotated[
        int,
        Meta(
            ge=1,
            description="From a request's first byte to its last, and for a client to take some of its answer.",
            extra={"unit": "seconds", "past": "408, connection closed; or connection cut"},
        ),
    ] = 60
    idle_timeout: Annotated[
        int,
        Meta(
            ge=1,
            description="Between requests on one connection.",
            extra={"unit": "seconds", "past": "connection closed"},
        ),
    ] = 75
    linger: Annotated[
        int,
        Meta(
            ge=1,
            description="For a client to read a refusal before the connection is cut.",
            extra={"unit": "seconds", "past": "connection cut", "option": False},
        ),
    ] = 5
    grace: Annotated[
        float,
        Meta(
            ge=0,
            description="To finish accepted requests after SIGTERM.",
            extra={"unit": "seconds", "past": "cut, exit code 1; a second signal cuts at once"},
        ),
    ] = 30.0


class AccessSettings(_Group, frozen=True, kw_only=True):
    """Who may ask."""

    tokens: (
        Annotated[
            Path,
            Meta(
                description="Answer only callers with a bearer token of this file, one a line.",
                extra={"file": True},
            ),
        ]
        | None
    ) = None
    allow_origin: Annotated[
        tuple[str, ...],
        Meta(description="Let web pages from there ask; * for all.", extra={"metavar": "ORIGIN"}),
    ] = ()


class AnswerSettings(_Group, frozen=True, kw_only=True):
    """Its answers."""

    access_log: Annotated[bool, Meta(description="A line of JSON on stderr for every answer.")] = False
    compress_from: (
        Annotated[
            int,
            Meta(ge=0, description="Gzip answers of so many bytes where accepted.", extra={"unit": "bytes"}),
        ]
        | None
    ) = None


class ServerSettings(_Group, frozen=True, kw_only=True):
    """All that `onnxpress serve` can be told.

    >>> ServerSettings(address=Address(port=0), limits=ConnectionLimits(max_body=1 << 20)).limits.max_head
    32768

    Raises UsageError, with the field's name, where a value is not what the field takes, or two exclude each other.
    """

    path: Annotated[
        Path, Meta(description="An .onnx file, a version, a model or a repository.", extra={"option": False})
    ] = Path("models")
    address: Address = Address()
    models: ModelSettings = ModelSettings()
    processes: ProcessSettings = ProcessSettings()
    limits: ConnectionLimits = ConnectionLimits()
    access: AccessSettings = AccessSettings()
    answers: AnswerSettings = AnswerSettings()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.processes.workers > 1:
            # One socket, and one set of models, for all workers to share.
            for option, given in (("--unix", self.address.unix), ("--model-control", self.models.model_control)):
                if given:
                    raise UsageError(f"{option} cannot be had with several --workers")


GROUPS: dict[str, Any] = {
    field.name: field.kind for field in fields_of(ServerSettings) if issubclass(field.kind, msgspec.Struct)
}
"""name in ServerSettings → the group's struct"""
