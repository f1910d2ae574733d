"""The fit loop in PyTorch: explicit, seeded, with early stopping; accelerate chooses device and precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from safetensors.torch import save as as_safetensors
from torch import Tensor, nn

from onnxpress.core.files import write_atomically
from onnxpress.training.fitting import Array, Fit, History

WEIGHTS = "weights.safetensors"
_INFERENCE_ROWS = 4096


def seed(seed: int) -> None:
    """Seed torch on every device."""
    torch.manual_seed(seed)


def fit(network: nn.Module, job: Fit) -> History:
    """Adam on the mean squared error; see Fit. The network ends on the CPU, in eval mode, with the best weights."""
    training = job.training
    accelerator = Accelerator()
    model = accelerator.prepare(network)
    optimizer = torch.optim.Adam(network.parameters(), lr=training.learning_rate, eps=1e-7)
    if accelerator.scaler is not None:
        # Only float16 needs accelerate's optimiser, which costs a small network a third more time a step.
        optimizer = accelerator.prepare(optimizer)
    x, y, x_validation, y_validation = (
        torch.from_numpy(rows).to(accelerator.device) for rows in (*job.train, *job.validation)
    )
    loss_of = nn.MSELoss()
    order = torch.Generator().manual_seed(training.seed)
    history, best, best_loss, waited = History(), dict[str, Tensor](), float("inf"), 0
    for _ in range(training.epochs):
        model.train()
        total = torch.zeros((), device=accelerator.device)
        for rows in torch.randperm(len(x), generator=order).to(accelerator.device).split(training.batch_size):
            optimizer.zero_grad()
            loss = loss_of(model(x[rows]), y[rows])
            accelerator.backward(loss)
            optimizer.step()
            total += loss.detach() * len(rows)
        validation_loss = loss_of(_infer(model, x_validation), y_validation).item()
        history.training_loss.append(total.item() / len(x))
        history.validation_loss.append(validation_loss)
        job.on_epoch(history.training_loss[-1], validation_loss)
        if validation_loss < best_loss:
            best_loss, waited = validation_loss, 0
            best = {name: value.clone() for name, value in network.state_dict().items()}
        else:
            waited += 1
            if waited >= training.patience:
                break
    if best:
        network.load_state_dict(best)
    network.cpu().eval()
    return history


def _infer(model: nn.Module, x: Tensor) -> Tensor:
    model.eval()
    with torch.no_grad():
        return torch.cat([model(rows) for rows in x.split(_INFERENCE_ROWS)])


def predict(network: nn.Module, x: Array) -> Array:
    """Eval mode, no gradients; float32 in and out, on the CPU."""
    return np.asarray(_infer(network, torch.from_numpy(x)))


def save(network: nn.Module, path: Path) -> None:
    """The state dict as safetensors."""
    # The library's own save_file leaves the file readable by its owner alone.
    write_atomically(path, as_safetensors({name: value.contiguous() for name, value in network.state_dict().items()}))


def parameters(network: nn.Module) -> int:
    """The number of trained parameters."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
