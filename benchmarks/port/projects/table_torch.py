"""A table of numbers and categories: embeddings of entities beside batch-normed numbers, in torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TabularModel(nn.Module):
    """Categories (batch, 3) as whole numbers and numbers (batch, 6) → logits (batch, 3)."""

    def __init__(
        self,
        emb_szs: tuple[tuple[int, int], ...] = ((8, 4), (5, 3), (12, 6)),
        n_cont: int = 6,
        out_sz: int = 3,
        layers: tuple[int, ...] = (64, 32),
        p: float = 0.2,
    ) -> None:
        super().__init__()
        self.embeds = nn.ModuleList([nn.Embedding(ni, nf) for ni, nf in emb_szs])
        self.emb_drop = nn.Dropout(0.05)
        self.bn_cont = nn.BatchNorm1d(n_cont)
        layerlist: list[nn.Module] = []
        n_in = sum(nf for _, nf in emb_szs) + n_cont
        for i in layers:
            layerlist.append(nn.Linear(n_in, i))
            layerlist.append(nn.ReLU(inplace=True))
            layerlist.append(nn.BatchNorm1d(i))
            layerlist.append(nn.Dropout(p))
            n_in = i
        layerlist.append(nn.Linear(layers[-1], out_sz))
        self.layers = nn.Sequential(*layerlist)

    def forward(self, x_cat: Tensor, x_cont: Tensor) -> Tensor:
        embeddings = []
        for i, e in enumerate(self.embeds):
            embeddings.append(e(x_cat[:, i]))
        x = torch.cat(embeddings, 1)
        x = self.emb_drop(x)
        x_cont = self.bn_cont(x_cont)
        x = torch.cat([x, x_cont], 1)
        return self.layers(x)


def build() -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    """The network, and rows as it takes them."""
    return TabularModel(), (torch.randint(0, 5, (8, 3)), torch.randn(8, 6))
