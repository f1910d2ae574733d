"""Whether this processor computes a version in 8 bits as it was meant: the fused graph against the unfused one.

Without VNNI, x86 adds two products of 8 bits in 16, which can saturate. The answer is then wrong, without an error. The
same file is right elsewhere. Unfused, every product is computed in float32 and cannot saturate. Only versions that were
derived in int8 are looked at, so the module is imported for them alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np

from onnxpress.core import golden, memory
from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadModel
from onnxpress.core.golden import Golden
from onnxpress.core.manifest import Derived, SessionSettings
from onnxpress.serving import log
from onnxpress.serving.engine.sessions import OpenSession, Session

PRECISE = "session.x64quantprecision"
"""has the runtime use kernels that cannot saturate, which take more time"""
UNFUSED = "session.disable_quant_qdq"
_LEAST, _TIMES = 1.0, 2.0
"""floors: fused and unfused round apart by some tenths of the precision's own error; measured where it was derived"""
_SHARE = 0.1
"""of labels and the like that may differ; those that a thousandth of the inputs decides are left out"""
Run = Callable[[Mapping[str, Array]], Mapping[str, Array]]
"""of inputs by name, to outputs by name"""


def limit(recorded: float) -> float:
    """The accepted distance of an output, in floors, where `recorded` was seen on the machine that derived it."""
    return max(_LEAST, _TIMES * recorded)


def unfused(settings: SessionSettings) -> SessionSettings:
    """The same session with every quantized operator computed in float32."""
    return msgspec.structs.replace(settings, config={**settings.config, UNFUSED: "1"})


def precise(settings: SessionSettings) -> SessionSettings:
    """The same session with kernels that cannot saturate."""
    return msgspec.structs.replace(settings, config={**settings.config, PRECISE: "1"})


def distances(fused: Run, plain: Run, goldens: Sequence[Golden]) -> dict[str, float]:
    """Output → root mean square between both on the samples' inputs, in the samples' floors."""
    squares: dict[str, list[Array]] = {}
    for case in goldens:
        one, other = fused(case.inputs), plain(case.inputs)
        for name, floor in case.floors.items():
            squares.setdefault(name, []).append(_squares(one[name], other[name], floor).ravel())
    return {name: math.sqrt(float(np.concatenate(all_of).mean())) for name, all_of in squares.items()}


def _squares(one: Array, other: Array, floor: Array) -> Array:
    if one.shape != other.shape:
        return np.array([np.inf])
    if one.dtype.kind not in "fV":
        return np.asarray((one != other) & (floor == 0), np.float64) / _SHARE
    a, b = one.astype(np.float64), other.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(same, 0.0, (a - b) / floor)
    result: Array = np.nan_to_num(ratio**2, nan=np.inf)
    return result


def beyond(found: Mapping[str, float], recorded: Mapping[str, float]) -> str | None:
    """The first output whose distance is not accepted, in words; None where all are."""
    for name, distance in found.items():
        accepted = limit(recorded.get(name, 0.0))
        if not distance <= accepted:
            return (
                f"{name} differs by {distance:.3g} floors between the fused and the unfused graph, {accepted:.2g} "
                "are accepted"
            )
    return None


def settled(
    fused: Session,
    reopen: Callable[[SessionSettings], Session],
    settings: SessionSettings,
    goldens: Sequence[Golden],
    recorded: Mapping[str, float],
    *,
    where: str,
) -> tuple[SessionSettings, Session]:
    """The settings under which this processor answers as it should, and their session.

    Those are the ones given, with `fused`, their session; or the precise kernels, with another one, and `fused` is
    closed. Raises BadModel where even the precise kernels differ.
    """
    plain = reopen(unfused(settings))
    try:
        answers = {id(case.inputs): run_of(plain)(case.inputs) for case in goldens}
    finally:
        plain.close()

    def told(session: Session) -> str | None:
        return beyond(distances(run_of(session), lambda feeds: answers[id(feeds)], goldens), recorded)

    overflow = told(fused)
    if overflow is None:
        return settings, fused
    if settings.config.get(PRECISE) != "1":
        careful = precise(settings)
        session = reopen(careful)
        if told(session) is None:
            fused.close()
            return careful, session
        session.close()
    raise BadModel(
        f"its 8-bit products overflow on this processor: {overflow}",
        where=where,
        hint="serve the version that it was derived from, or derive it again on this machine",
    )


def looking(open_session: OpenSession, folder: Path, derived: Derived) -> OpenSession:
    """The same, that opens the session under which this processor answers as it should; see `settled`.

    What it opens raises CorruptVersion besides, where the golden samples in `folder` cannot be read.
    """

    def opened(
        model: str,
        provider: str,
        settings: SessionSettings,
        threads: int | None,
        prepack: bool,
        custom_ops: Sequence[str],
    ) -> Session:
        def reopen(other: SessionSettings) -> Session:
            return open_session(model, provider, other, threads, prepack, custom_ops)

        quick = reopen(settings)
        try:
            goldens = golden.read(folder / golden.FILE_NAME)
            found, session = settled(quick, reopen, settings, goldens, derived.fused, where=str(folder))
        except Exception:
            quick.close()
            raise
        memory.give_back()  # of the unfused session, which is larger than the version itself
        if found is not settings:
            log.say(
                f"{folder}: quick 8-bit products overflow on this processor; the precise ones are used, which take "
                "more time"
            )
        return session

    return opened


def run_of(session: Session) -> Run:
    """Its run, of and to names."""
    names = [value.name for value in session.outputs]
    return lambda feeds: dict(zip(names, session.run(names, dict(feeds)), strict=True))
