"""Which requests are traced: those whose caller says so; others as OpenTelemetry's environment asks for."""

from __future__ import annotations

from collections.abc import Mapping

from onnxpress.core.errors import UsageError

_SAMPLER, _ARGUMENT = "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"
_RATIOS = {"always_on": 1.0, "always_off": 0.0, "traceidratio": None}
_PARENT = "parentbased_"


class Sampler:
    """`ratio`: the share of those that is traced whose caller says nothing. `heeds`: what a caller says goes first."""

    def __init__(self, ratio: float = 0.0, heeds: bool = True) -> None:
        self.ratio, self.heeds = ratio, heeds

    def takes(self, trace_id: str, asked: bool | None) -> bool:
        """Whether a request of this trace is traced; `asked`: the caller's flag, None where there is none.

        Every server decides alike for the same trace.
        """
        if asked is not None and self.heeds:
            return asked
        return int(trace_id[16:], 16) < self.ratio * 2.0**64


def sampler_of(environment: Mapping[str, str]) -> Sampler:
    """By OTEL_TRACES_SAMPLER; without it, nothing is traced whose caller does not ask for it. Raises UsageError."""
    said = environment.get(_SAMPLER, "").strip().lower()
    if not said:
        return Sampler()
    name = said.removeprefix(_PARENT)
    if name not in _RATIOS:
        known = ", ".join([*_RATIOS, *(_PARENT + one for one in _RATIOS)])
        raise UsageError(f"{_SAMPLER}={said} is no sampler that is known here; there are: {known}")
    ratio = _RATIOS[name]
    if ratio is None:
        try:
            ratio = float(environment.get(_ARGUMENT, "1.0"))
        except ValueError:
            ratio = -1.0
        if not 0.0 <= ratio <= 1.0:
            raise UsageError(f"{_ARGUMENT} must be a number from 0 to 1")
    return Sampler(ratio, heeds=said.startswith(_PARENT))
