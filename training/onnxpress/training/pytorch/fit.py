"""A PyTorch network learning: one step for each batch; accelerate chooses device and precision, and joins processes."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import parse_flag_from_env
from safetensors.torch import save as as_safetensors
from torch import Tensor, nn
from torch.nn import functional

from onnxpress.core.arrays import Array
from onnxpress.core.files import write_atomically
from onnxpress.training.fitting import named_outputs
from onnxpress.training.fitting.checkpoint import Arrays
from onnxpress.training.fitting.loop import Examples, Fit, Inputs
from onnxpress.training.fitting.losses import LEAST, rows_at_once
from onnxpress.training.pytorch import batch_norm, quantization_aware
from onnxpress.training.settings import Training

WEIGHTS = "weights.safetensors"
_PRECISION = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}


def seed(training: Training) -> None:
    """Seed torch on every device."""
    torch.manual_seed(training.seed)
    torch.use_deterministic_algorithms(training.deterministic)


def build(factory: Callable[..., nn.Module], settings: Mapping[str, Any], training: Training) -> nn.Module:
    """The network; accelerate casts as it runs."""
    return factory(**settings)


class _Learner:
    """See `fitting.loop.Learner`. Every process of a fit over several takes its share of each batch."""

    def __init__(self, network: nn.Module, job: Fit) -> None:
        training = job.training
        AcceleratorState._reset_state()  # it would refuse another precision than the process's first
        self._accelerator = Accelerator(mixed_precision=_PRECISION[training.precision])
        if self._accelerator.num_processes > 1:
            batch_norm.over_processes(network)
        self._seed, self._clip = training.seed, training.clip_norm
        self._loss, self._margin = job.loss, job.margin
        self._train, self._validation = (self._on_device(rows) for rows in (job.train, job.validation))
        self._teaching = job.teaching
        if job.teaching is not None:
            self._taught = torch.from_numpy(job.teaching.answers).to(self._accelerator.device)
        self._whole = network
        if job.frozen_encoder:
            network, self._train, self._validation = _behind_encoder(network, self._train, self._validation)
        self._still = _freeze(network, job.only)
        self._network = network
        self._rounded = quantization_aware.Rounded(network) if training.quantization_aware else None
        self._asked = network if self._rounded is None else self._rounded
        self._model = self._accelerator.prepare(self._asked)
        if training.compile:
            self._model = torch.compile(self._model)
        self._trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        kind = torch.optim.AdamW if training.optimizer == "adamw" else torch.optim.Adam
        self._plain: torch.optim.Optimizer = kind(
            self._trained,
            lr=training.learning_rate,
            betas=training.betas,
            eps=1e-7,
            weight_decay=training.weight_decay,
        )
        # Only float16 needs accelerate's optimiser, which makes the steps of a small network slower: see ADR 0004.
        scaled = self._accelerator.scaler is not None
        self._optimizer = self._accelerator.prepare(self._plain) if scaled else self._plain

    def learn(self, rows: Sequence[Array], rates: Sequence[float], *, epoch: int) -> float:
        self._model.train()
        for module in self._still:
            module.eval()
        device, count, me = (
            self._accelerator.device,
            self._accelerator.num_processes,
            self._accelerator.process_index,
        )
        torch.manual_seed(hash((self._seed, epoch * count + me)) % 2**63)  # each process drops others
        total = torch.zeros((), device=device)
        for batch, rate in zip(rows, rates, strict=True):
            for group in self._plain.param_groups:
                group["lr"] = rate
            index = torch.from_numpy(batch[me::count] if count > 1 else batch).to(device)
            # Gradients are averaged over the processes; so divided, the average is that of the whole batch.
            share = len(batch) / count
            self._optimizer.zero_grad()
            loss = self._loss_of(index, share if count > 1 else None)
            self._accelerator.backward(loss)
            if self._clip is not None:
                self._accelerator.clip_grad_norm_(self._trained, self._clip)
            self._optimizer.step()
            total += loss.detach() * share
        if count > 1:
            total = self._accelerator.reduce(total)
        return total.item() / sum(map(len, rows))

    def _loss_of(self, index: Tensor, share: float | None) -> Tensor:
        """The mean loss of the rows; with `share` their sum divided by that, for a process may have none of a batch."""
        x, y, weight = self._train
        answer, truth = self._model(*(_whole_numbers(part[index]) for part in x)), y[index]
        if weight is None and share is None and self._teaching is None:
            return _LOSSES[self._loss](answer.float(), truth)
        rows = _LOSSES[self._loss](answer.float(), truth, reduction="none")
        rows = rows if rows.dim() == 1 else rows.flatten(1).mean(dim=1)
        if self._teaching is not None:
            apart = _DISTANCES[self._loss](answer.float(), self._taught[index], self._teaching.temperature)
            rows = torch.lerp(rows, apart, self._teaching.share)
        if weight is not None:
            counted = weight[index]
            if self._margin:
                rows = torch.where(counted < 0, functional.relu(self._margin - rows), rows)
                counted = counted.abs()
            rows = rows * counted
        return rows.mean() if share is None else rows.sum() / share

    def validate(self) -> Array:
        return _infer(self._asked, self._validation[0])  # every process alone: all have the same weights

    def weights(self) -> Arrays:
        rounded = {} if self._rounded is None else self._rounded.weights()  # as it was validated
        return _copied({**self._network.state_dict(), **rounded})

    def restore_weights(self, weights: Arrays) -> None:
        self._network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})

    def state(self) -> Arrays:
        state = {f"network/{name}": value for name, value in _copied(self._network.state_dict()).items()}
        for number, moments in self._plain.state_dict()["state"].items():
            for name, value in moments.items():
                state[f"optimizer/{number}/{name}"] = value.detach().cpu().numpy().copy()
        return state

    def restore(self, state: Arrays) -> None:
        self.restore_weights({n.removeprefix("network/"): v for n, v in state.items() if n.startswith("network/")})
        described = self._plain.state_dict()
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in state.items():
            part, _, rest = name.partition("/")
            if part == "optimizer":
                number, _, key = rest.partition("/")
                moments.setdefault(int(number), {})[key] = torch.from_numpy(value)
        self._plain.load_state_dict({**described, "state": moments})

    def _on_device(self, rows: Examples) -> _OnDevice:
        device = self._accelerator.device
        x, y, weight = rows
        return (
            [torch.from_numpy(part).to(device) for part in x.values()],
            torch.from_numpy(y).to(device),
            None if weight is None else torch.from_numpy(weight).to(device),
        )


def _copied(tensors: Mapping[str, Tensor]) -> Arrays:
    return {name: value.detach().cpu().numpy().copy() for name, value in tensors.items()}


def _negative_log_likelihood(answer: Tensor, truth: Tensor, reduction: str = "mean") -> Tensor:
    return functional.nll_loss(answer.clamp(min=LEAST).log(), truth, reduction=reduction)


def _binary_negative_log_likelihood(answer: Tensor, truth: Tensor, reduction: str = "mean") -> Tensor:
    return functional.binary_cross_entropy(answer.clamp(LEAST, 1 - LEAST), truth, reduction=reduction)


_OnDevice = tuple[list[Tensor], Tensor, Tensor | None]
_LOSSES: dict[str, Callable[..., Tensor]] = {
    "mean_squared_error": functional.mse_loss,
    "cross_entropy": functional.cross_entropy,
    "binary_cross_entropy": functional.binary_cross_entropy_with_logits,
    "negative_log_likelihood": _negative_log_likelihood,
    "binary_negative_log_likelihood": _binary_negative_log_likelihood,
}


def _of_logits(answer: Tensor, taught: Tensor, temperature: float) -> Tensor:
    mine, its = (functional.log_softmax(z / temperature, dim=-1) for z in (answer, taught))
    return temperature**2 * functional.kl_div(mine, its, reduction="none", log_target=True).flatten(1).sum(dim=1)


def _of_one_logit(answer: Tensor, taught: Tensor, temperature: float) -> Tensor:
    mine, its = (torch.cat([torch.zeros_like(z), z], dim=-1) for z in (answer, taught))
    return _of_logits(mine, its, temperature)


def _of_values(answer: Tensor, taught: Tensor, _: float) -> Tensor:
    return ((answer - taught) ** 2).flatten(1).mean(dim=1)


_DISTANCES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "cross_entropy": _of_logits,
    "binary_cross_entropy": _of_one_logit,
    "mean_squared_error": _of_values,
}
"""of each row's answer from the teacher's; see `fitting.distillation`"""


def learner(network: nn.Module, job: Fit) -> _Learner:
    """The network made ready to learn from the job's rows."""
    return _Learner(network, job)


def finished(network: nn.Module, factory: Callable[..., nn.Module], settings: Mapping[str, Any]) -> nn.Module:
    """The same weights in a network of its own, for accelerate has changed how the fitted one is called."""
    plain = factory(**settings)
    plain.load_state_dict(network.state_dict())
    return plain.cpu().eval()


def joined(networks: Sequence[nn.Module], factory: Callable[..., nn.Module], settings: Mapping[str, Any]) -> nn.Module:
    """The ensemble that `factory` builds, with the weights of `networks` as its members."""
    whole = factory(**settings)
    for number, network in enumerate(networks):
        whole.get_submodule(f"member_{number}").load_state_dict(network.state_dict())
    return whole.cpu().eval()


def is_main() -> bool:
    """Whether this is the first of the processes."""
    # Without an accelerator, accelerate would take processes that torchrun started for strangers to each other.
    cpu = not torch.accelerator.is_available() or parse_flag_from_env("ACCELERATE_USE_CPU")
    is_first: bool = PartialState(cpu=cpu).is_main_process
    return is_first


def process_count() -> int:
    """How many torchrun or accelerate started."""
    return int(os.environ.get("WORLD_SIZE") or 1)


def _behind_encoder(
    network: nn.Module, train: _OnDevice, validation: _OnDevice
) -> tuple[nn.Module, _OnDevice, _OnDevice]:
    """The head, and rows as the encoder answers them."""
    encoder, head = network.get_submodule("encoder"), network.get_submodule("head")
    device = train[1].device
    parts = [([torch.from_numpy(_infer(encoder.to(device), x)).to(device)], y, w) for x, y, w in (train, validation)]
    return head, parts[0], parts[1]


def _freeze(network: nn.Module, only: tuple[str, ...] | None) -> list[nn.Module]:
    """Let only the named layers learn; returns the modules that must stay in eval mode, as Keras keeps its own."""
    if only is None:
        return [
            module
            for module in network.modules()
            if (own := list(module.parameters())) and not any(parameter.requires_grad for parameter in own)
        ]
    for name, parameter in network.named_parameters():
        if not any(part in only for part in name.split(".")):
            parameter.requires_grad_(False)
    return [module for name, module in network.named_modules() if name and not set(name.split(".")) & set(only)]


def _whole_numbers(x: Tensor) -> Tensor:
    """Ids may be stored in fewer bytes than the embedding takes."""
    return x if x.is_floating_point() else x.long()


def _infer(model: nn.Module, x: Sequence[Tensor]) -> Array:
    model.eval()
    with torch.no_grad():
        parts = zip(*(part.split(rows_at_once(x)) for part in x), strict=True)
        return (
            torch.cat([named_outputs.alone(model(*map(_whole_numbers, rows))).float() for rows in parts]).cpu().numpy()
        )


def predict(network: nn.Module, x: Inputs) -> Array:
    """Eval mode, no gradients; on the CPU."""
    return _infer(network, [torch.from_numpy(part) for part in x.values()])


class _OneOf(nn.Module):
    """Answers one of the tensors that a network returns."""

    def __init__(self, network: nn.Module, names: Sequence[str], chosen: str) -> None:
        super().__init__()
        self.network, self.names, self.chosen = network, list(names), chosen

    def forward(self, *inputs: Tensor) -> Tensor:
        answer: Tensor = named_outputs.pick(self.network(*inputs), self.names, self.chosen)
        return answer


def one_of(network: nn.Module, names: Sequence[str], chosen: str) -> nn.Module:
    """A network that answers `chosen` alone, of what `network` returns under `names`; it shares its weights."""
    return _OneOf(network, names, chosen)


class _ByName(nn.Module):
    """Gives a network that takes a dict its tensors under their names."""

    def __init__(self, network: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.network, self.names = network, list(names)

    def forward(self, *inputs: Tensor) -> Any:
        return self.network(dict(zip(self.names, inputs, strict=True)))


def by_name(network: nn.Module, x: Inputs) -> nn.Module:
    """See FrameworkFit: a dict is for a forward of one argument where there are several tensors."""
    arguments = list(inspect.signature(network.forward).parameters.values())
    takes_dict = len(x) > 1 and len(arguments) == 1 and arguments[0].kind is not arguments[0].VAR_POSITIONAL
    whole = _ByName(network, list(x)) if takes_dict else network
    training = whole.training
    with torch.no_grad():
        whole.eval()(*(_whole_numbers(torch.from_numpy(part)) for part in x.values()))
    whole.train(training)
    return whole


def last_layer(network: nn.Module) -> str:
    """Of the module that was added last; an activation in `forward` has no name."""
    last = list(network.modules())[-1]
    return {nn.Softmax: "softmax", nn.Sigmoid: "sigmoid"}.get(type(last), "")


def save(network: nn.Module, path: Path) -> None:
    """The state dict as safetensors."""
    # The library's own save_file leaves the file readable by its owner alone.
    write_atomically(path, as_safetensors({name: value.contiguous() for name, value in network.state_dict().items()}))


def parameters(network: nn.Module) -> int:
    """The number of trained parameters."""
    return sum(int(np.prod(p.shape)) for p in network.parameters() if p.requires_grad)
