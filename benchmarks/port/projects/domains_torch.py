"""Malicious domain names from their characters: a CNN, an LSTM in both directions and attention, in torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as everybody calls it


class Attention(nn.Module):
    """Which steps count: additive, with one score for each."""

    def __init__(self, hidden_dim: int) -> None:
        super().__init__()
        self.proj = nn.Linear(hidden_dim, hidden_dim)
        self.v = nn.Linear(hidden_dim, 1, bias=False)

    def forward(self, h: Tensor) -> Tensor:
        scores = self.v(torch.tanh(self.proj(h))).squeeze(-1)
        alpha = F.softmax(scores, dim=1)
        return torch.bmm(alpha.unsqueeze(1), h).squeeze(1)


class CharCNNLSTM(nn.Module):
    """Character numbers (batch, length) → a logit (batch,)."""

    def __init__(
        self, vocab_size: int = 40, embed_dim: int = 24, filters: int = 32, hidden: int = 24, dropout: float = 0.3
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embed_dim, padding_idx=0)
        self.conv = nn.Conv1d(embed_dim, filters, kernel_size=3, padding=1)
        self.bn = nn.BatchNorm1d(filters)
        self.pool = nn.MaxPool1d(2)
        self.lstm = nn.LSTM(filters, hidden, batch_first=True, bidirectional=True)
        self.attention = Attention(2 * hidden)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(2 * hidden, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens).permute(0, 2, 1)
        x = self.pool(F.relu(self.bn(self.conv(x))))
        out, _ = self.lstm(x.permute(0, 2, 1))
        context = self.attention(out)
        return self.fc(self.dropout(context)).squeeze(1)


def build() -> tuple[nn.Module, Tensor]:
    """The network, and names as it takes them."""
    return CharCNNLSTM(), torch.randint(0, 40, (8, 32))
