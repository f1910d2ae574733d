"""The messages of gRPC's V2 protocol but for inference, of Triton's extensions, and of the health check, as tables.

See `protobuf` for what a table is. The numbers are those of Triton's grpc_service.proto and model_config.proto.
"""

from __future__ import annotations

from typing import Final

from onnxpress.serving.protocol.protobuf import Reading, Writing

OF_MODEL: Final[Reading] = {1: ("name", str), 2: ("version", str)}
_PARAMETER: Final[Reading] = {1: ("bool", bool), 2: ("int64", int), 3: ("string", str), 4: ("bytes", bytes)}
CHANGE: Final[Reading] = {2: ("model_name", str), 3: ("parameters", [{1: ("key", str), 2: ("value", _PARAMETER)}])}
INDEX_REQUEST: Final[Reading] = {2: ("ready", bool)}
HEALTH_REQUEST: Final[Reading] = {1: ("service", str)}

LIVE: Final[Writing] = {"live": (1, bool)}
READY: Final[Writing] = {"ready": (1, bool)}
SERVER: Final[Writing] = {"name": (1, str), "version": (2, str), "extensions": (3, str)}
_TENSOR: Final[Writing] = {"name": (1, str), "datatype": (2, str), "shape": (3, int)}
MODEL: Final[Writing] = {
    "name": (1, str),
    "versions": (2, str),
    "platform": (3, str),
    "inputs": (4, _TENSOR),
    "outputs": (5, _TENSOR),
}
INDEX: Final[Writing] = {
    "models": (1, {"name": (1, str), "version": (2, str), "state": (3, str), "reason": (4, str)}),
}
HEALTH: Final[Writing] = {"status": (1, ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"])}
HEALTH_LIST: Final[Writing] = {"statuses": (1, {"key": (1, str), "value": (2, HEALTH)})}

_DATA_TYPE: Final = [
    "TYPE_INVALID", "TYPE_BOOL", "TYPE_UINT8", "TYPE_UINT16", "TYPE_UINT32", "TYPE_UINT64", "TYPE_INT8", "TYPE_INT16",
    "TYPE_INT32", "TYPE_INT64", "TYPE_FP16", "TYPE_FP32", "TYPE_FP64", "TYPE_STRING", "TYPE_BF16",
]  # fmt: skip
CONFIG: Final[Writing] = {
    "config": (
        1,
        {
            "name": (1, str),
            "platform": (2, str),
            "version_policy": (3, {"specific": (3, {"versions": (1, int)})}),
            "max_batch_size": (4, int),
            "input": (5, {"name": (1, str), "data_type": (2, _DATA_TYPE), "dims": (4, int)}),
            "output": (6, {"name": (1, str), "data_type": (2, _DATA_TYPE), "dims": (3, int)}),
            "instance_group": (
                7,
                {"name": (1, str), "count": (2, int), "kind": (4, ["KIND_AUTO", "KIND_GPU", "KIND_CPU", "KIND_MODEL"])},
            ),
            "default_model_filename": (8, str),
            "dynamic_batching": (11, {"max_queue_delay_microseconds": (2, int)}),
            "backend": (17, str),
        },
    )
}
_TIMED: Final[Writing] = {"count": (1, int), "ns": (2, int)}
STATISTICS: Final[Writing] = {
    "model_stats": (
        1,
        {
            "name": (1, str),
            "version": (2, str),
            "last_inference": (3, int),
            "inference_count": (4, int),
            "execution_count": (5, int),
            "inference_stats": (
                6,
                {
                    "success": (1, _TIMED),
                    "fail": (2, _TIMED),
                    "queue": (3, _TIMED),
                    "compute_input": (4, _TIMED),
                    "compute_infer": (5, _TIMED),
                    "compute_output": (6, _TIMED),
                    "cache_hit": (7, _TIMED),
                    "cache_miss": (8, _TIMED),
                },
            ),
            "batch_stats": (
                7,
                {
                    "batch_size": (1, int),
                    "compute_input": (2, _TIMED),
                    "compute_infer": (3, _TIMED),
                    "compute_output": (4, _TIMED),
                },
            ),
        },
    )
}
