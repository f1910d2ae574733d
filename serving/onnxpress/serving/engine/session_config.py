"""Which of ONNX Runtime's string settings a manifest may give, and with which values: an allow-list.

A repository may come from somebody else. Among the runtime's settings are ones that write a file (profiles, optimised
models, memory statistics, counters), that read one (partitioning, layer assignment, initializers), that say how many
threads there are, and that end the loading early. New ones come with every release. So those are taken that say how a
graph is computed, and no others. Numbers of threads, the level and the optimisers have fields of their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from onnxpress.core.errors import BadModel

_FLAG = r"[01]"
_NUMBER = r"[0-9]{1,9}"

ALLOWED: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "mlas.disable_kleidiai",
            "mlas.qnbit.force_fp32",
            "mlas.use_lut_gemm",
            "optimization.enable_cast_chain_elimination",
            "optimization.enable_gelu_approximation",
            "session.disable_aot_function_inlining",
            "session.disable_double_qdq_remover",
            "session.disable_prepacking",
            "session.disable_qdq_constant_folding",
            "session.disable_quant_qdq",
            "session.enable_dq_matmulnbits_fusion",
            "session.enable_quant_qdq_cleanup",
            "session.inter_op.allow_spinning",
            "session.intra_op.allow_spinning",
            "session.qdqisint8allowed",
            "session.set_denormal_as_zero",
            "session.use_deterministic_compute",
            "session.use_device_allocator_for_initializers",
            "session.x64quantprecision",
        ),
        _FLAG,
    ),
    "optimization.constant_folding_max_output_size_in_bytes": _NUMBER,
    "session.dynamic_block_base": _NUMBER,
    "session.graph_optimizations_loop_level": r"[012]",
    "session.qdq_matmulnbits_accuracy_level": r"[0-4]",
    "session.qdq_matmulnbits_block_size": _NUMBER,
}
"""key → what its value must be, as a whole"""


def checked(config: Mapping[str, str]) -> Mapping[str, str]:
    """The settings themselves. Raises BadModel for a key that is not allowed, or a value that is none of the key's.

    >>> checked({"session.x64quantprecision": "1"})
    {'session.x64quantprecision': '1'}
    """
    for key, value in config.items():
        form = ALLOWED.get(key)
        if form is None:
            raise BadModel(
                f"the manifest's session setting {_shown(key)} is not one that a manifest may give",
                hint=f"allowed are {', '.join(sorted(ALLOWED))}",
            )
        if not re.fullmatch(form, value):
            raise BadModel(f"the manifest's session setting {key} cannot be {_shown(value)}", hint="export it again")
    return config


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 80 else f"{text[:80]} and so on")
