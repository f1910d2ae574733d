"""Torch networks as public projects write them: signals, images, text, tables, sequences; each with its example."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.faults.torch_families import unsettle

Built = tuple[nn.Module, Any]
MODELS: dict[str, Callable[[], Built]] = {}


def usual(*example: Callable[[], Tensor], **settings: Any) -> Callable[[type[nn.Module]], type[nn.Module]]:
    """Add a class; `example` draws its arguments, `settings` are its own."""

    def add(kind: type[nn.Module]) -> type[nn.Module]:
        MODELS[kind.__name__] = lambda: (unsettle(kind(**settings)), tuple(draw() for draw in example))
        return kind

    return add


def floats(*shape: int) -> Callable[[], Tensor]:
    return lambda: torch.randn(6, *shape)


def ids(count: int, *shape: int) -> Callable[[], Tensor]:
    return lambda: torch.randint(0, count, (6, *shape))


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, in_planes, planes, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_planes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.shortcut = nn.Sequential()
        if stride != 1 or in_planes != planes:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_planes, planes, 1, stride=stride, bias=False), nn.BatchNorm2d(planes)
            )

    def forward(self, x):
        out = functional.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return functional.relu(out)


@usual(floats(3, 16, 16))
class ResNet(nn.Module):
    def __init__(self, blocks=(2, 2), classes=5):
        super().__init__()
        self.in_planes = 8
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.layer1 = self._make_layer(8, blocks[0], 1)
        self.layer2 = self._make_layer(16, blocks[1], 2)
        self.linear = nn.Linear(16, classes)

    def _make_layer(self, planes, count, stride):
        layers = []
        for s in [stride] + [1] * (count - 1):
            layers.append(BasicBlock(self.in_planes, planes, s))
            self.in_planes = planes
        return nn.Sequential(*layers)

    def forward(self, x):
        out = functional.relu(self.bn1(self.conv1(x)))
        out = self.layer2(self.layer1(out))
        out = functional.avg_pool2d(out, 8)
        out = out.view(out.size(0), -1)
        return self.linear(out)


class DoubleConv(nn.Module):
    def __init__(self, inside, outside):
        super().__init__()
        self.double_conv = nn.Sequential(
            nn.Conv2d(inside, outside, 3, padding=1),
            nn.BatchNorm2d(outside),
            nn.ReLU(inplace=True),
            nn.Conv2d(outside, outside, 3, padding=1),
            nn.BatchNorm2d(outside),
            nn.ReLU(inplace=True),
        )

    def forward(self, x):
        return self.double_conv(x)


@usual(floats(1, 16, 16))
class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.inc = DoubleConv(1, 6)
        self.down = nn.MaxPool2d(2)
        self.deep = DoubleConv(6, 12)
        self.bottom = DoubleConv(12, 12)
        self.up1 = nn.ConvTranspose2d(12, 12, 2, stride=2)
        self.conv1 = DoubleConv(24, 6)
        self.up2 = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.conv2 = DoubleConv(12, 6)
        self.outc = nn.Conv2d(6, 2, 1)

    def forward(self, x):
        x1 = self.inc(x)
        x2 = self.deep(self.down(x1))
        x3 = self.bottom(self.down(x2))
        x = self.up1(x3)
        x = self.conv1(torch.cat([x2, x], dim=1))
        x = self.up2(x)
        return self.outc(self.conv2(torch.cat([x1, x], dim=1)))


@usual(floats(1, 8, 64))
class EEGNet(nn.Module):
    def __init__(self, channels=8, samples=64, classes=2, f1=4, d=2, f2=8):
        super().__init__()
        self.conv1 = nn.Conv2d(1, f1, (1, 32), padding=(0, 16), bias=False)
        self.bn1 = nn.BatchNorm2d(f1, momentum=0.01, eps=0.001)
        self.depthwise = nn.Conv2d(f1, f1 * d, (channels, 1), groups=f1, bias=False)
        self.bn2 = nn.BatchNorm2d(f1 * d, momentum=0.01, eps=0.001)
        self.pool1 = nn.AvgPool2d((1, 4))
        self.drop1 = nn.Dropout(0.25)
        self.separable = nn.Sequential(
            nn.Conv2d(f1 * d, f1 * d, (1, 16), padding=(0, 8), groups=f1 * d, bias=False),
            nn.Conv2d(f1 * d, f2, 1, bias=False),
        )
        self.bn3 = nn.BatchNorm2d(f2, momentum=0.01, eps=0.001)
        self.pool2 = nn.AvgPool2d((1, 8))
        self.drop2 = nn.Dropout(0.25)
        self.classify = nn.LazyLinear(classes)
        self(torch.zeros(1, 1, channels, samples))

    def forward(self, x):
        x = self.bn1(self.conv1(x))
        x = functional.elu(self.bn2(self.depthwise(x)))
        x = self.drop1(self.pool1(x))
        x = functional.elu(self.bn3(self.separable(x)))
        x = self.drop2(self.pool2(x))
        return self.classify(x.flatten(1))


class Chomp1d(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.size = size

    def forward(self, x):
        return x[:, :, : -self.size].contiguous()


class TemporalBlock(nn.Module):
    def __init__(self, inside, outside, dilation, kernel=3, dropout=0.2):
        super().__init__()
        pad = (kernel - 1) * dilation
        conv = nn.utils.parametrizations.weight_norm
        self.net = nn.Sequential(
            conv(nn.Conv1d(inside, outside, kernel, padding=pad, dilation=dilation)),
            Chomp1d(pad),
            nn.ReLU(),
            nn.Dropout(dropout),
            conv(nn.Conv1d(outside, outside, kernel, padding=pad, dilation=dilation)),
            Chomp1d(pad),
            nn.ReLU(),
            nn.Dropout(dropout),
        )
        self.downsample = nn.Conv1d(inside, outside, 1) if inside != outside else None
        self.relu = nn.ReLU()

    def forward(self, x):
        out = self.net(x)
        res = x if self.downsample is None else self.downsample(x)
        return self.relu(out + res)


@usual(floats(3, 20))
class TCN(nn.Module):
    def __init__(self):
        super().__init__()
        self.network = nn.Sequential(TemporalBlock(3, 8, 1), TemporalBlock(8, 8, 2), TemporalBlock(8, 8, 4))
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.network(x)[:, :, -1])


@usual(floats(18, 5))
class LSTMClassifier(nn.Module):
    def __init__(self, hidden=8, layers=2):
        super().__init__()
        self.hidden, self.layers = hidden, layers
        self.lstm = nn.LSTM(5, hidden, layers, batch_first=True, dropout=0.2)
        self.fc = nn.Linear(hidden, 3)

    def forward(self, x):
        h0 = torch.zeros(self.layers, x.size(0), self.hidden).to(x.device)
        c0 = torch.zeros(self.layers, x.size(0), self.hidden).to(x.device)
        out, _ = self.lstm(x, (h0, c0))
        return self.fc(out[:, -1, :])


@usual(floats(18, 5))
class BiGRU(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(5, 8, num_layers=2, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(16, 3)

    def forward(self, x):
        _, h = self.gru(x)
        h = torch.cat((h[-2], h[-1]), dim=1)
        return self.fc(torch.relu(h))


@usual(floats(12, 6), floats(5, 6))
class EncoderDecoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.LSTM(6, 8, batch_first=True)
        self.decoder = nn.LSTM(6, 8, batch_first=True)
        self.out = nn.Linear(8, 2)

    def forward(self, src, tgt):
        _, (hidden, cell) = self.encoder(src)
        states, _ = self.decoder(tgt, (hidden, cell))
        return self.out(states)


class PositionalEncoding(nn.Module):
    def __init__(self, d_model, dropout=0.1, max_len=50):
        super().__init__()
        self.dropout = nn.Dropout(p=dropout)
        position = torch.arange(max_len).unsqueeze(1)
        div_term = torch.exp(torch.arange(0, d_model, 2) * (-math.log(10000.0) / d_model))
        pe = torch.zeros(1, max_len, d_model)
        pe[0, :, 0::2] = torch.sin(position * div_term)
        pe[0, :, 1::2] = torch.cos(position * div_term)
        self.register_buffer("pe", pe)

    def forward(self, x):
        x = x + self.pe[:, : x.size(1)]
        return self.dropout(x)


@usual(ids(30, 12))
class TransformerClassifier(nn.Module):
    def __init__(self, d_model=16):
        super().__init__()
        self.d_model = d_model
        self.embedding = nn.Embedding(30, d_model, padding_idx=0)
        self.pos_encoder = PositionalEncoding(d_model)
        layer = nn.TransformerEncoderLayer(d_model, 4, 32, 0.1, batch_first=True)
        self.transformer = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.fc = nn.Linear(d_model, 3)

    def forward(self, src):
        x = self.embedding(src) * math.sqrt(self.d_model)
        x = self.transformer(self.pos_encoder(x), src_key_padding_mask=None)
        return self.fc(x.mean(dim=1))


@usual(floats(3, 16, 16))
class ViT(nn.Module):
    def __init__(self, patch=4, dim=16, depth=2, heads=2):
        super().__init__()
        self.patch_embed = nn.Conv2d(3, dim, patch, stride=patch)
        self.cls_token = nn.Parameter(torch.randn(1, 1, dim) * 0.02)
        self.pos_embed = nn.Parameter(torch.randn(1, 17, dim) * 0.02)
        self.blocks = nn.ModuleList([ViTBlock(dim, heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, 4)

    def forward(self, x):
        b = x.shape[0]
        x = self.patch_embed(x).flatten(2).transpose(1, 2)
        x = torch.cat((self.cls_token.expand(b, -1, -1), x), dim=1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


class ViTBlock(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = SelfAttention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Dropout(0.1), nn.Linear(2 * dim, dim))

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class SelfAttention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads, self.scale = heads, (dim // heads) ** -0.5
        self.qkv = nn.Linear(dim, dim * 3)
        self.attn_drop = nn.Dropout(0.1)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x):
        B, N, C = x.shape
        qkv = self.qkv(x).reshape(B, N, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv[0], qkv[1], qkv[2]
        attn = (q @ k.transpose(-2, -1)) * self.scale
        attn = self.attn_drop(attn.softmax(dim=-1))
        return self.proj((attn @ v).transpose(1, 2).reshape(B, N, C))


@usual(floats(7), ids(5, 3))
class TabularModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.embeds = nn.ModuleList([nn.Embedding(5, 3) for _ in range(3)])
        self.bn_cont = nn.BatchNorm1d(7)
        self.layers = nn.Sequential(
            nn.Linear(16, 24), nn.ReLU(inplace=True), nn.BatchNorm1d(24), nn.Dropout(0.2), nn.Linear(24, 2)
        )

    def forward(self, x_cont, x_cat):
        x = [e(x_cat[:, i]) for i, e in enumerate(self.embeds)]
        x = torch.cat(x, 1)
        return self.layers(torch.cat([x, self.bn_cont(x_cont)], 1))


class SEBlock(nn.Module):
    def __init__(self, channels, reduction=4):
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(channels, channels // reduction, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(channels // reduction, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x):
        b, c, _, _ = x.size()
        y = x.mean(dim=(2, 3))
        y = self.fc(y).view(b, c, 1, 1)
        return x * y.expand_as(x)


class InvertedResidual(nn.Module):
    def __init__(self, inside, outside, stride, expand):
        super().__init__()
        hidden = inside * expand
        self.use_res_connect = stride == 1 and inside == outside
        self.conv = nn.Sequential(
            nn.Conv2d(inside, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(inplace=True),
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(inplace=True),
            nn.Conv2d(hidden, outside, 1, bias=False),
            nn.BatchNorm2d(outside),
        )

    def forward(self, x):
        if self.use_res_connect:
            return x + self.conv(x)
        return self.conv(x)


@usual(floats(3, 17, 17))
class MobileNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1, bias=False),
            nn.BatchNorm2d(8),
            nn.Hardswish(),
            InvertedResidual(8, 8, 1, 2),
            InvertedResidual(8, 12, 2, 3),
            SEBlock(12),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(12, 4))

    def forward(self, x):
        x = self.avgpool(self.features(x))
        return self.classifier(torch.flatten(x, 1))


@usual(floats(3, 20, 20))
class GoogLike(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 5, stride=2, padding=2)
        self.maxpool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.branch1 = nn.Conv2d(8, 4, 1)
        self.branch2 = nn.Sequential(nn.Conv2d(8, 4, 1), nn.ReLU(True), nn.Conv2d(4, 6, 3, padding=1))
        self.branch3 = nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(8, 4, 1))
        self.fc = nn.Linear(14, 3)

    def forward(self, x):
        x = self.maxpool(functional.relu(self.conv(x)))
        x = torch.cat([self.branch1(x), self.branch2(x), self.branch3(x)], 1)
        x = functional.adaptive_avg_pool2d(torch.relu(x), (1, 1)).squeeze(-1).squeeze(-1)
        return functional.log_softmax(self.fc(x), dim=1)


@usual(floats(1, 16, 16))
class ConvAutoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 6, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(6, 12, 3, stride=2, padding=1), nn.ReLU()
        )
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(12, 6, 3, stride=2, padding=1, output_padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(6, 1, 3, stride=2, padding=1, output_padding=1),
            nn.Sigmoid(),
        )

    def forward(self, x):
        return self.decoder(self.encoder(x))


@usual(floats(24))
class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(24, 16)
        self.fc_mu = nn.Linear(16, 4)
        self.fc_logvar = nn.Linear(16, 4)
        self.fc3 = nn.Linear(4, 16)
        self.fc4 = nn.Linear(16, 24)

    def forward(self, x):
        h = functional.relu(self.fc1(x))
        mu, logvar = self.fc_mu(h), self.fc_logvar(h)
        z = mu
        if self.training:
            z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
        return torch.sigmoid(self.fc4(functional.relu(self.fc3(z)))), mu, logvar


@usual(floats(12), floats(12))
class Siamese(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(12, 16), nn.LeakyReLU(0.1), nn.Linear(16, 8))

    def forward_once(self, x):
        return functional.normalize(self.net(x), p=2, dim=1)

    def forward(self, a, b):
        a, b = self.forward_once(a), self.forward_once(b)
        return (a - b).abs(), functional.cosine_similarity(a, b)


@usual(floats(10))
class MultiTask(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(10, 16), nn.GELU(), nn.LayerNorm(16), nn.Dropout(0.1))
        self.heads = nn.ModuleDict({"age": nn.Linear(16, 1), "kind": nn.Linear(16, 4)})

    def forward(self, x):
        h = self.trunk(x)
        return {name: head(h) for name, head in self.heads.items()}


@usual(ids(40, 20))
class TextCNN(nn.Module):
    def __init__(self, sizes=(3, 4, 5)):
        super().__init__()
        self.embed = nn.Embedding(40, 12)
        self.convs = nn.ModuleList([nn.Conv2d(1, 6, (k, 12)) for k in sizes])
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(6 * len(sizes), 3)

    def forward(self, x):
        x = self.embed(x).unsqueeze(1)
        x = [functional.relu(conv(x)).squeeze(3) for conv in self.convs]
        x = [functional.max_pool1d(i, i.size(2)).squeeze(2) for i in x]
        return self.fc(self.dropout(torch.cat(x, 1)))


class GatedBlock(nn.Module):
    def __init__(self, channels, dilation):
        super().__init__()
        self.filter = nn.Conv1d(channels, channels, 2, dilation=dilation)
        self.gate = nn.Conv1d(channels, channels, 2, dilation=dilation)
        self.residual = nn.Conv1d(channels, channels, 1)
        self.dilation = dilation

    def forward(self, x):
        padded = functional.pad(x, (self.dilation, 0))
        y = torch.tanh(self.filter(padded)) * torch.sigmoid(self.gate(padded))
        y = self.residual(y)
        return x + y, y


@usual(floats(1, 24))
class WaveNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.start = nn.Conv1d(1, 6, 1)
        self.blocks = nn.ModuleList([GatedBlock(6, 2**i) for i in range(3)])
        self.end = nn.Conv1d(6, 4, 1)

    def forward(self, x):
        x = self.start(x)
        skips = 0
        for block in self.blocks:
            x, skip = block(x)
            skips = skips + skip
        return self.end(functional.relu(skips))


@usual(floats(9, 5))
class GRN(nn.Module):
    """Gates as in temporal fusion: a GLU around a residual."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.gate = nn.Linear(5, 8), nn.Linear(8, 8), nn.Linear(8, 16)
        self.skip = nn.Linear(5, 8)
        self.norm = nn.LayerNorm(8)

    def forward(self, x):
        a = functional.elu(self.fc1(x))
        a = functional.glu(self.gate(self.fc2(a)), dim=-1)
        return self.norm(a + self.skip(x))


@usual(floats(16, 8))
class MixerBlock(nn.Module):
    def __init__(self, tokens=16, dim=8):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.token = nn.Sequential(nn.Linear(tokens, 12), nn.GELU(), nn.Linear(12, tokens))
        self.channel = nn.Sequential(nn.Linear(dim, 12), nn.GELU(), nn.Linear(12, dim))

    def forward(self, x):
        y = self.norm1(x).transpose(1, 2)
        x = x + self.token(y).transpose(1, 2)
        return x + self.channel(self.norm2(x))


class DenseLayer(nn.Module):
    def __init__(self, inside, growth):
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(inside), nn.Conv2d(inside, growth, 3, padding=1, bias=False)

    def forward(self, x):
        return torch.cat([x, self.conv(functional.relu(self.norm(x)))], 1)


@usual(floats(3, 12, 12))
class DenseNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), *(DenseLayer(6 + 4 * n, 4) for n in range(3)))
        self.transition = nn.Sequential(nn.BatchNorm2d(18), nn.ReLU(), nn.Conv2d(18, 9, 1), nn.AvgPool2d(2, 2))
        self.classifier = nn.Linear(9 * 6 * 6, 3)

    def forward(self, x):
        x = self.transition(self.features(x))
        return self.classifier(x.reshape(x.shape[0], -1))


@usual(floats(3, 64))
class CNNLSTMAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.cnn = nn.Sequential(
            nn.Conv1d(3, 12, 7, stride=2, padding=3),
            nn.BatchNorm1d(12),
            nn.ReLU(),
            nn.MaxPool1d(3, 2, 1),
            nn.Conv1d(12, 16, 5, padding="same"),
            nn.BatchNorm1d(16),
            nn.ReLU(),
            nn.Dropout(0.2),
        )
        self.lstm = nn.LSTM(16, 10, batch_first=True, bidirectional=True)
        self.attn = nn.Linear(20, 1)
        self.fc = nn.Sequential(nn.Linear(20, 12), nn.ReLU(), nn.Dropout(0.5), nn.Linear(12, 2))

    def forward(self, x):
        out, _ = self.lstm(self.cnn(x).transpose(1, 2))
        weights = functional.softmax(self.attn(out), dim=1)
        context = torch.sum(weights * out, dim=1)
        return self.fc(context)


@usual(floats(10, 6))
class MultiheadPooling(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(6, 16)
        self.query = nn.Parameter(torch.randn(1, 1, 16))
        self.attention = nn.MultiheadAttention(16, 4, dropout=0.1, batch_first=True)
        self.norm = nn.LayerNorm(16)
        self.head = nn.Linear(16, 2)

    def forward(self, x):
        x = self.proj(x)
        query = self.query.repeat(x.size(0), 1, 1)
        pooled, weights = self.attention(query, x, x)
        return self.head(self.norm(pooled.squeeze(1))), weights


@usual(floats(14, 5))
class CellLoop(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(5, 7)
        self.out = nn.Linear(7, 1)

    def forward(self, x):
        h = torch.zeros(x.size(0), 7)
        c = torch.zeros(x.size(0), 7)
        for t in range(3):
            h, c = self.cell(x[:, t], (h, c))
        return self.out(h)


@usual(floats(3, 20))
class ResNet1d(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv1d(3, 8, 7, padding=3), nn.BatchNorm1d(8), nn.ReLU())
        self.blocks = nn.ModuleList(
            [nn.Sequential(nn.Conv1d(8, 8, 3, padding=1), nn.BatchNorm1d(8), nn.PReLU()) for _ in range(3)]
        )
        self.pool = nn.AdaptiveAvgPool1d(1)
        self.fc = nn.Linear(8, 2)

    def forward(self, x):
        x = self.conv(x)
        for block in self.blocks:
            x = x + block(x)
        return self.fc(self.pool(x).squeeze(-1))


@usual(floats(12, 3))
class PointNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv1d(3, 16, 1), nn.Conv1d(16, 24, 1)
        self.bn1, self.bn2 = nn.BatchNorm1d(16), nn.BatchNorm1d(24)
        self.fc = nn.Linear(24, 3)

    def forward(self, x):
        x = x.transpose(2, 1)
        x = functional.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        x = torch.max(x, 2, keepdim=True)[0]
        return self.fc(x.view(-1, 24))


@usual(floats(2, 12, 12))
class SpectralDiscriminator(nn.Module):
    def __init__(self):
        super().__init__()
        norm = nn.utils.parametrizations.spectral_norm
        self.main = nn.Sequential(
            norm(nn.Conv2d(2, 6, 4, 2, 1)),
            nn.LeakyReLU(0.2, inplace=True),
            norm(nn.Conv2d(6, 1, 6, 1, 0)),
        )

    def forward(self, x):
        return self.main(x).view(-1)


@usual(ids(30, 10))
class RotaryAttention(nn.Module):
    def __init__(self, dim=16, heads=2):
        super().__init__()
        self.embed = nn.Embedding(30, dim)
        self.heads, self.size = heads, dim // heads
        self.q, self.k, self.v, self.o = (nn.Linear(dim, dim, bias=False) for _ in range(4))
        inv = 1.0 / (10000 ** (torch.arange(0, self.size, 2).float() / self.size))
        self.register_buffer("inv_freq", inv, persistent=False)
        self.weight = nn.Parameter(torch.ones(dim))

    def norm(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.weight

    def rotate(self, x, cos, sin):
        x1, x2 = x[..., : self.size // 2], x[..., self.size // 2 :]
        return x * cos + torch.cat((-x2, x1), dim=-1) * sin

    def forward(self, tokens):
        b, t = tokens.shape
        x = self.embed(tokens)
        h = self.norm(x)
        q, k, v = (p(h).view(b, t, self.heads, self.size).transpose(1, 2) for p in (self.q, self.k, self.v))
        freqs = torch.outer(torch.arange(t).float(), self.inv_freq)
        emb = torch.cat((freqs, freqs), dim=-1)
        q, k = self.rotate(q, emb.cos(), emb.sin()), self.rotate(k, emb.cos(), emb.sin())
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return x + self.o(y.transpose(1, 2).reshape(b, t, -1))
