"""The two documented networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

CHANNELS = (32, 64, 128)
CNN_ARCHITECTURE = "3 blocks conv 3×3 – batch norm – ReLU – max pool (32, 64, 128), dense 128, dropout 0.3, dense 4"
LSTM_ARCHITECTURE = "bidirectional LSTM, 2 layers of 128, dropout 0.2, its last step through dense 64 to one value"


class PatchCnn(nn.Module):
    """Class scores of patches: (N, bands, size, size) normalised reflectance to (N, classes) logits.

    ReLU stands after max pooling: both orders give the same values and gradients, for ReLU is monotonic, and this one
    passes over a quarter of the pixels.

    Args:
        bands: Bands of a patch.
        size: Side of a patch, pixels, a multiple of 8.
        classes: Number of classes.
    """

    def __init__(self, bands: int = 4, size: int = 64, classes: int = 4) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for before, after in zip((bands, *CHANNELS), CHANNELS, strict=False):
            blocks += [
                nn.Conv2d(before, after, 3, padding=1),
                nn.BatchNorm2d(after),
                nn.MaxPool2d(2),
                nn.ReLU(inplace=True),
            ]
        self.features = nn.Sequential(*blocks)
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(CHANNELS[-1] * (size // 2 ** len(CHANNELS)) ** 2, 128),
            nn.ReLU(inplace=True),
            nn.Dropout(0.3),
            nn.Linear(128, classes),
        )

    def forward(self, patches: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.head(self.features(patches))
        return logits


class SequenceLstm(nn.Module):
    """NDVI at the next date: (N, steps, features) to (N,).

    At the last step the forward half has seen the whole sequence, the backward half the last step alone.

    Args:
        features: Values a step.
    """

    def __init__(self, features: int = 1) -> None:
        super().__init__()
        self.lstm = nn.LSTM(features, 128, num_layers=2, batch_first=True, bidirectional=True, dropout=0.2)
        self.head = nn.Sequential(nn.Linear(256, 64), nn.ReLU(inplace=True), nn.Linear(64, 1))

    def forward(self, sequences: Tensor) -> Tensor:
        """Forecasts."""
        steps, _ = self.lstm(sequences)
        forecast: Tensor = self.head(steps[:, -1])
        return forecast.squeeze(1)


def parameter_count(network: nn.Module) -> int:
    """Trainable weights of a network."""
    return sum(weights.numel() for weights in network.parameters() if weights.requires_grad)


def seeded(seed: int, build: type[nn.Module], *shape: int) -> nn.Module:
    """A network whose first weights depend on the seed alone; the caller's random numbers are left as they are."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(*shape)
