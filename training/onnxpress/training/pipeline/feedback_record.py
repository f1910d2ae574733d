"""What every round of feedback did, as `feedback.json` keeps it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.training.families.anomaly_decision import Cost
from onnxpress.training.pipeline.feedback_rows import Given

FILE_NAME = "feedback.json"


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """One round. Shares are of the rows of all rounds so far, as the model answers them after it."""

    round: int
    """from 1"""
    false_alarms: int
    """rows that people called so, of all rounds so far"""
    missed: int
    new_rows: int
    """that came in this round"""
    cured_false_alarms: float | None
    """share of the false alarms that no longer are; None where none was named"""
    found_missed: float | None
    """share of the missed anomalies that are found now"""
    right_before: float
    """share of all the rows that the model answered right before this round"""
    right_after: float
    cost: Cost | None = None
    before: dict[str, float]
    """the figures of the old held-out rows"""
    after: dict[str, float]

    @classmethod
    def of(
        cls,
        given: Given,
        flagged_before: Array,
        flagged: Array,
        before: dict[str, float],
        after: dict[str, float],
        cost: Cost | None,
    ) -> Round:
        """From the rows, and whether each is flagged."""
        number = int(given.round.max())
        return cls(
            round=number,
            false_alarms=int((~given.is_missed).sum()),
            missed=int(given.is_missed.sum()),
            new_rows=int(given.of_round(number).sum()),
            cured_false_alarms=_share(~flagged[~given.is_missed]),
            found_missed=_share(flagged[given.is_missed]),
            right_before=float((flagged_before == given.is_missed).mean()),
            right_after=float((flagged == given.is_missed).mean()),
            cost=cost,
            before=before,
            after=after,
        )


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """All rounds, the first one first."""

    rounds: list[Round] = []

    @classmethod
    def read(cls, run: Path) -> Record:
        """Of a run; without rounds where it learnt from no feedback yet."""
        path = run / FILE_NAME
        return msgspec.json.decode(path.read_bytes(), type=cls) if path.exists() else cls()

    def with_round(self, latest: Round) -> Record:
        """One more."""
        return Record(rounds=[*self.rounds, latest])


def _share(flags: Array) -> float | None:
    return float(np.mean(flags)) if flags.size else None
