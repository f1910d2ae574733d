"""The paths of gRPC's calls that are answered here, and which of them have more than one message."""

from __future__ import annotations

from typing import Final

V2: Final = "inference.GRPCInferenceService"
HEALTH: Final = "grpc.health.v1.Health"
PREDICTION: Final = "tensorflow.serving.PredictionService"
MODELS: Final = "tensorflow.serving.ModelService"
REFLECTION: Final = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
SERVICES: Final = (V2, HEALTH, PREDICTION, MODELS, *REFLECTION)


def path(service: str, call: str) -> bytes:
    """As it stands in a request.

    >>> path("grpc.health.v1.Health", "Check")
    b'/grpc.health.v1.Health/Check'
    """
    return f"/{service}/{call}".encode()


INFER: Final = path(V2, "ModelInfer")
INFER_STREAM: Final = path(V2, "ModelStreamInfer")
CHECK: Final = path(HEALTH, "Check")
LIST: Final = path(HEALTH, "List")
WATCH: Final = path(HEALTH, "Watch")
REFLECTED: Final = frozenset([path(service, "ServerReflectionInfo") for service in REFLECTION])
SERVING: Final = frozenset(
    [
        *[path(PREDICTION, call) for call in ("Predict", "Classify", "Regress", "GetModelMetadata")],
        path(MODELS, "GetModelStatus"),
    ]
)
"""TensorFlow Serving's"""

UNARY: Final = frozenset(
    {
        INFER, CHECK, LIST, *SERVING,
        *[
            path(V2, call)
            for call in (
                "ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelConfig",
                "ModelStatistics", "RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload",
            )
        ],
    }
)  # fmt: skip
"""one message in, one out"""
STREAMS: Final = frozenset({INFER_STREAM, *REFLECTED})
"""each message of the client is a request of its own, and is answered with one, in order"""
WATCHED: Final = frozenset({WATCH})
"""one message asks, and answers come whenever there is another one"""


def unknown(path: bytes) -> str:
    """What is said of a call that is not here."""
    return f"there is no call {path[:200].decode('latin-1')}; docs/grpc.md lists those that there are"
