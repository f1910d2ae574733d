"""Train the network: `python -m digits.train` writes weights.pt, samples.npz and rows.json."""

import json

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from digits.model import build

torch.manual_seed(0)
data = load_digits()
images, labels = torch.tensor(data.images, dtype=torch.float32), torch.tensor(data.target)
training, held_out = slice(0, 1500), slice(1500, None)

model = build()
optimizer = torch.optim.Adam(model.parameters(), 3e-3)
for _ in range(6):
    for batch in torch.randperm(1500).split(100):
        loss = nn.functional.cross_entropy(model(images[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

model.eval()
with torch.no_grad():
    right = (model(images[held_out]).argmax(1) == labels[held_out]).float().mean()
print(f"right on images never seen: {right:.1%}")

torch.save(model.state_dict(), "weights.pt")
np.savez("samples.npz", images=images[held_out].numpy())
with open("rows.json", "w") as file:
    json.dump({"images": images[[3, 7]].tolist()}, file)
