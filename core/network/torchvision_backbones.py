"""torchvision's ResNet, VGG and MobileNet families as chains of blocks.

Two options make them fit small images and small machines: a stem without pooling and stride, and a width factor on all
channels. Without them a chain computes what torchvision's own network does.
"""

from torch import nn
from torchvision.models import mobilenet, resnet, vgg
from torchvision.ops import Conv2dNormActivation

from core.network.chain import Chain

# layers -> kind of block, blocks in each of the four stages (He et al. 2016, table 1)
_RESNETS = {
    18: (resnet.BasicBlock, (2, 2, 2, 2)),
    34: (resnet.BasicBlock, (3, 4, 6, 3)),
    50: (resnet.Bottleneck, (3, 4, 6, 3)),
    101: (resnet.Bottleneck, (3, 4, 23, 3)),
    152: (resnet.Bottleneck, (3, 8, 36, 3)),
}
_VGG_LETTERS = {11: "A", 13: "B", 16: "D", 19: "E"}


def scaled(channels: int, width: float) -> int:
    """Channels times a width factor, a multiple of 8 and at least 8."""
    return channels if width == 1 else max(8, round(channels * width / 8) * 8)


def torchvision_resnet(depth: int, input_channels: int, num_classes: int, small: bool, width: float) -> Chain:
    """ResNet-`depth`; small: a 3x3 stem of stride 1 without pooling (He et al. 2016, section 4.2).

    Args:
        depth: 18, 34, 50, 101 or 152.
        small: for inputs up to 64 pixels.
        width: factor on all channels.
    """
    block, stages = _RESNETS[depth]
    channels_in = scaled(64, width)
    kernel, stride = (3, 1) if small else (7, 2)
    stem: list[nn.Module] = [
        nn.Conv2d(input_channels, channels_in, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(channels_in),
        nn.ReLU(),
    ]
    if not small:
        stem.append(nn.MaxPool2d(3, 2, padding=1))
    blocks: list[nn.Module] = [nn.Sequential(*stem)]
    for stage, count in enumerate(stages):
        channels = scaled(64 * 2**stage, width)
        for position in range(count):
            stride = 2 if stage and not position else 1
            channels_out = channels * block.expansion
            shortcut = None
            if stride > 1 or channels_in != channels_out:
                shortcut = nn.Sequential(
                    nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out)
                )
            blocks.append(block(channels_in, channels, stride, shortcut))
            channels_in = channels_out
    for module in [module for piece in blocks for module in piece.modules()]:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return Chain(blocks, _pool(), nn.Linear(channels_in, num_classes), features=channels_in)


def torchvision_vgg(depth: int, input_channels: int, num_classes: int, small: bool, width: float) -> Chain:
    """VGG-`depth` with BatchNorm; a block is a convolution and what follows it until the next.

    Args:
        depth: 11, 13, 16 or 19.
        small: one linear layer on averaged features instead of three on 7 x 7 maps, for inputs up to 64 pixels.
        width: factor on the channels of the convolutions.
    """
    plan = [value if value == "M" else scaled(value, width) for value in vgg.cfgs[_VGG_LETTERS[depth]]]
    layers = list(vgg.make_layers(plan, batch_norm=True))
    layers[0] = nn.Conv2d(input_channels, layers[0].out_channels, 3, padding=1)
    starts = [n for n, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)]
    blocks: list[nn.Module] = [
        nn.Sequential(*layers[start:stop]) for start, stop in zip(starts, [*starts[1:], len(layers)], strict=True)
    ]
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
    channels = plan[-2]
    if small:
        return Chain(blocks, _pool(), nn.Linear(channels, num_classes), features=channels)
    neck = nn.Sequential(nn.AdaptiveAvgPool2d(7), nn.Flatten())
    classifier = nn.Sequential(
        nn.Linear(channels * 49, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(),
        nn.Linear(4096, num_classes),
    )  # fmt: skip
    return Chain(blocks, neck, classifier, features=channels * 49)


def torchvision_mobilenet(name: str, input_channels: int, num_classes: int, small: bool, width: float) -> Chain:
    """MobileNetV2, MobileNetV3 small or large; the last 1x1 convolution belongs to the last block.

    Args:
        name: `mobilenet_v2`, `mobilenet_v3_small` or `mobilenet_v3_large`.
        small: the stem keeps the size of the image, for inputs up to 64 pixels.
        width: torchvision's `width_mult`.
    """
    network = getattr(mobilenet, name)(num_classes=num_classes, width_mult=width)
    stem, *middle, last = network.features.children()
    first = stem[0]
    stem[0] = nn.Conv2d(
        input_channels, first.out_channels, 3, stride=1 if small else 2, padding=1, bias=first.bias is not None
    )
    nn.init.kaiming_normal_(stem[0].weight, mode="fan_out")
    assert isinstance(last, Conv2dNormActivation)
    middle[-1] = nn.Sequential(middle[-1], last)
    features = next(layer.in_features for layer in network.classifier if isinstance(layer, nn.Linear))
    return Chain([stem, *middle], _pool(), network.classifier, features=features)


def _pool() -> nn.Sequential:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
