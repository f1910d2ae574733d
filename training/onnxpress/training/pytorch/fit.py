"""The fit loop in PyTorch: explicit, seeded, with early stopping on the validation loss and the best weights kept."""

from __future__ import annotations

import os

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from onnxpress.training.fitting import Array, Fit, History

WEIGHTS = "weights.safetensors"


def seed(seed: int) -> None:
    """Seed torch; batches are drawn by a generator of their own."""
    torch.manual_seed(seed)


def fit(network: nn.Module, job: Fit) -> History:
    """Adam on the mean squared error; see Fit. The network ends on the CPU, in eval mode, with the best weights."""
    training = job.training
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network.to(device)
    x_train, y_train, x_validation, y_validation = (
        torch.from_numpy(array).to(device) for array in (job.x_train, job.y_train, job.x_validation, job.y_validation)
    )
    optimiser = torch.optim.Adam(network.parameters(), lr=training.learning_rate, eps=1e-7)
    loss_of = nn.MSELoss()
    generator = np.random.default_rng(training.seed)
    history = History()
    best, waited = float("inf"), 0
    for _ in range(training.epochs):
        network.train()
        total = 0.0
        for rows in torch.from_numpy(generator.permutation(len(x_train))).to(device).split(training.batch_size):
            optimiser.zero_grad(set_to_none=True)
            loss = loss_of(network(x_train[rows]), y_train[rows])
            loss.backward()
            optimiser.step()
            total += loss.item() * len(rows)
        network.eval()
        with torch.no_grad():
            validation = loss_of(network(x_validation), y_validation).item()
        history.training_loss.append(total / len(x_train))
        history.validation_loss.append(validation)
        job.on_epoch(history.training_loss[-1], validation)
        if validation < best:
            best, waited = validation, 0
            _save(network, job)
        else:
            waited += 1
            if waited >= training.patience:
                break
    network.to("cpu")
    if not np.isfinite(best):
        return history
    network.load_state_dict(load_file(job.weights))
    network.eval()
    return history


def _save(network: nn.Module, job: Fit) -> None:
    # Beside, then renamed: a kill in the middle leaves the previous best.
    beside = job.weights.with_suffix(".partial")
    save_file({name: value.cpu().contiguous() for name, value in network.state_dict().items()}, beside)
    os.replace(beside, job.weights)


def predict(network: nn.Module, x: Array) -> Array:
    """Eval mode, no gradients; float32 in and out."""
    network.eval()
    with torch.no_grad():
        answer: Array = network(torch.from_numpy(x)).numpy()
    return answer


def parameters(network: nn.Module) -> int:
    """The number of trained parameters."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
