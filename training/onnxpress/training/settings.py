"""How to fit: the recipe's `training`, the same words for both frameworks."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

_Count = Annotated[int, msgspec.Meta(ge=1)]
_CountOrNone = Annotated[int, msgspec.Meta(ge=0)]
_Share = Annotated[float, msgspec.Meta(gt=0, lt=1)]
_Rate = Annotated[float, msgspec.Meta(gt=0, le=10)]
_Beta = Annotated[float, msgspec.Meta(ge=0, lt=1)]
_Positive = Annotated[float, msgspec.Meta(gt=0)]


class Plateau(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Lower the learning rate when the validation loss no longer falls."""

    patience: _Count = 5
    """epochs without a lower validation loss before each lowering"""
    factor: _Share = 0.5
    """what the rate is multiplied by at each lowering"""
    minimum: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """the rate is never lowered below this"""


class OneCycle(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="one_cycle"
):
    """Up and down again by half cosines, over all epochs (Smith and Topin 2019, as in torch's OneCycleLR)."""

    peak: _Rate | None = None
    """the highest rate; default: learning_rate"""
    up: _Share = 0.3
    """share of the fit in which it rises"""
    start: _Share = 0.04
    """what it rises from, as a share of the peak"""
    final: _Share = 4e-6
    """what it ends at, as a share of the peak"""


class UpHoldDown(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="up_hold_down"
):
    """Three phases: a half cosine from learning_rate up to the peak, the peak held, a half cosine down to `final`."""

    peak: _Rate
    """the highest rate"""
    final: Annotated[float, msgspec.Meta(ge=0, le=10)] = 0.0
    """the rate of the last batch on the way down, and of all that come after it"""
    up: _CountOrNone = 5
    """epochs in which it rises"""
    hold: _CountOrNone = 0
    """epochs at the peak"""
    down: _Count | None = None
    """epochs in which it falls; default: all that are left"""


class Selection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which epoch is the best: the best `metric` on the validation rows among those that keep the bounds.

    Where no epoch keeps them, the one that misses them by least. The metrics are those of `fitting.metrics.of_outputs`.
    """

    metric: str = "loss"
    """the lowest of losses, errors and false alarms is the best, of all else the highest"""
    at_least: dict[str, float] = {}
    """metric → the least that an epoch must have"""
    at_most: dict[str, float] = {}
    """metric → the most that it may have"""


class Teacher(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A trained run whose answers are learnt besides the truth: distillation (Hinton, Vinyals and Dean 2015)."""

    run: str
    """the folder of a run of the same data and seed, of either framework; its network may be of any size"""
    share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.5
    """of the loss, that is the distance from the teacher's answers; the rest is by the truth"""
    temperature: _Positive = 2.0
    """by which logits are divided before they are compared: higher, and small probabilities count for more"""


class Training(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to fit. Adam's epsilon is 1e-7; AdamW decays every trained weight."""

    epochs: _Count = 200
    """at most; early stopping may end sooner"""
    batch_size: _Count = 32
    """rows in a step"""
    optimizer: Literal["adam", "adamw"] = "adam"
    """Adam, or AdamW with weights that decay"""
    learning_rate: _Rate = 1e-3
    """of the optimizer, between warming up and cooling down"""
    betas: tuple[_Beta, _Beta] = (0.9, 0.999)
    """how much of Adam's first and second moments stays at each step"""
    weight_decay: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    """of AdamW (Loshchilov and Hutter 2019): each step takes this share times the learning rate off every weight"""
    clip_norm: _Positive | None = None
    """gradients are scaled down to this norm, taken over all of them together"""
    warm_up: _CountOrNone = 0
    """epochs in which the learning rate rises from near zero, batch by batch"""
    cool_down: _CountOrNone = 0
    """last epochs, in which it falls to near zero"""
    schedule: OneCycle | UpHoldDown | None = None
    """a course of the learning rate over the epochs, in place of warm_up, cool_down and plateau"""
    plateau: Plateau | None = None
    """lower the learning rate when the validation loss stays"""
    patience: _Count = 20
    """epochs without a better one before stopping; the best epoch's weights are kept"""
    select: Selection = Selection()
    """which epoch's weights are kept"""
    class_weights: Literal["balanced"] | dict[str, float] | None = None
    """weight of a row in the loss by its label; balanced: rows / (classes × rows of the class)"""
    balanced_batches: bool = False
    """every batch holds as many rows of each class; rows of small classes come several times an epoch"""
    validation_share: _Share = 0.15
    """share of the rows that are not held out"""
    held_out_share: _Share = 0.25
    """share of all rows, never seen in training; metrics are of these"""
    folds: Annotated[int, msgspec.Meta(ge=2, le=100)] | None = None
    """cross-validation: besides the run itself, train this many times with each part held out once"""
    ensemble: bool = False
    """publish the mean of the folds' probabilities in one graph: rows that are not held out are divided into `folds`,
    and each network learns from all but one of them, which it is validated on"""
    fold: _CountOrNone | None = None
    """which of the folds is held out; set by the stage"""
    teacher: Teacher | str | None = None
    """a trained run to learn from besides the truth, by its folder alone or with how much it counts"""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """of the products in training; weights, inference and the export stay float32"""
    quantization_aware: bool = False
    """learn with weights and activations rounded as `onnxpress derive --precision int8` rounds them, so that fewer
    decisions change there; PyTorch alone, and in float32"""
    compile: bool = False
    """fuse the steps with the framework's compiler, `torch.compile` or XLA; pays off where a fit takes minutes"""
    deterministic: bool = False
    """refuse operations that may differ from run to run on a GPU; on the CPU the same seed gives the same run anyway"""
    checkpoint_seconds: Annotated[float, msgspec.Meta(ge=0)] = 30.0
    """longest time between checkpoints, from which a killed run is resumed; the first comes after the first epoch"""
    tensorboard: bool = False
    """write TensorBoard's event file into the run"""
    seed: Annotated[int, msgspec.Meta(ge=0, lt=2**32)] = 0
    """of the split, the initial weights, the order of the batches and dropout"""

    def __post_init__(self) -> None:
        if self.warm_up + self.cool_down > self.epochs:
            raise ValueError(f"warm_up {self.warm_up} and cool_down {self.cool_down} exceed {self.epochs} epochs")
        self._check_schedule()
        if self.ensemble and not self.folds:
            raise ValueError("an ensemble is of folds: say how many in folds")
        if self.teacher is not None and self.folds:
            raise ValueError("a teacher has learnt from the rows of one fit: leave out folds")
        if self.weight_decay and self.optimizer == "adam":
            raise ValueError("weight_decay is AdamW's: set optimizer to adamw")
        if self.quantization_aware and self.precision != "float32":
            raise ValueError(f"quantization_aware rounds what float32 computes: leave out precision {self.precision}")
        if self.fold is not None and self.fold >= (self.folds or 0):
            raise ValueError(f"fold {self.fold} is not one of {self.folds or 0} folds, counted from 0")

    def _check_schedule(self) -> None:
        if self.schedule is None:
            return
        if self.warm_up or self.cool_down or self.plateau:
            raise ValueError("schedule says the whole course: leave out warm_up, cool_down and plateau")
        if isinstance(self.schedule, UpHoldDown):
            phases = self.schedule.up + self.schedule.hold + (self.schedule.down or 1)
            if phases > self.epochs:
                raise ValueError(f"the phases of schedule take {phases} epochs, there are {self.epochs}")
