"""EENet-8, the smallest network of the EENets paper (Demir & Akbas 2024): a pre-activation residual net for MNIST."""

from torch import Tensor, nn

from core.network.chain import Chain

STARTING_FILTERS = 4


class Residual(nn.Module):
    """shortcut(x) + body(x)."""

    def __init__(self, body: nn.Module, shortcut: nn.Module):
        super().__init__()
        self.body = body
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.body(x)


def _halving_block(channels: int) -> Residual:
    """(batch, channels, h, w) -> (batch, 2 channels, h / 2, w / 2)."""
    body = nn.Sequential(
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1),
        nn.BatchNorm2d(2 * channels),
        nn.ReLU(),
        nn.Conv2d(2 * channels, 2 * channels, 3, padding=1),
    )
    return Residual(body, nn.Conv2d(channels, 2 * channels, 1, stride=2))


def eenet8(input_channels: int, num_classes: int) -> Chain:
    """Stem and three residual blocks of 4, 8 and 16 channels, convolutions with bias, no confidence at the end."""
    f = STARTING_FILTERS
    stem = nn.Sequential(nn.Conv2d(input_channels, f, 3, padding=1), nn.BatchNorm2d(f), nn.ReLU())
    block1 = Residual(
        nn.Sequential(nn.Conv2d(f, f, 3, padding=1), nn.BatchNorm2d(f), nn.ReLU(), nn.Conv2d(f, f, 3, padding=1)),
        nn.Identity(),
    )
    neck = nn.Sequential(nn.BatchNorm2d(4 * f), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    blocks = [stem, block1, _halving_block(f), _halving_block(2 * f)]
    return Chain(blocks, neck, nn.Linear(4 * f, num_classes), features=None)
