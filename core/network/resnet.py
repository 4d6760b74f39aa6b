"""The CIFAR-style residual networks with 6n+2 layers (He et al. 2016, section 4.2), as chains of blocks."""

from torch import Tensor, nn
from torch.nn import functional as F

from core.network.chain import Chain


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: (batch, channels_in, h, w) -> (batch, channels, h / stride, w / stride)."""

    def __init__(self, channels_in: int, channels: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = (
            nn.Identity()
            if stride == 1 and channels_in == channels
            else nn.Sequential(nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))
        )

    def forward(self, x: Tensor) -> Tensor:
        residual = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(residual + self.downsample(x))


def resnet_6n2(depth: int, input_channels: int, num_classes: int) -> Chain:
    """ResNet-`depth` for small images: three stages of 16, 32 and 64 channels.

    Args:
        depth: 6n + 2 layers (20, 32, 44, 56, 110, ...).
    """
    blocks_per_stage = (depth - 2) // 6
    blocks: list[nn.Module] = [
        nn.Sequential(nn.Conv2d(input_channels, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
    ]
    channels_in = 16
    for stage, channels in enumerate((16, 32, 64)):
        for position in range(blocks_per_stage):
            blocks.append(BasicBlock(channels_in, channels, stride=2 if stage and not position else 1))
            channels_in = channels
    neck = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    for module in [module for block in blocks for module in block.modules()]:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return Chain(blocks, neck, nn.Linear(64, num_classes), features=64)
