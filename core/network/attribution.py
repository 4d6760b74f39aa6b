"""Where an exit looks: Grad-CAM (Selvaraju et al. 2017) on the feature map that each exit reads."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from core.errors import UserError
from core.network.early_exit import EarlyExitNetwork
from core.network.exit_block import ExitBlock


@dataclass(frozen=True)
class Attention:
    """Heat maps of all exits for one picture.

    Args:
        heat: float32 (exits, h, w) of the input's size, 0..1; each exit's own largest value is 1, or all of it is 0
            where nothing in its feature map speaks for the class.
        classes: the class each map is for, int64 (exits,).
        probabilities: what each exit gives every class, float32 (exits, classes).
    """

    heat: NDArray[np.float32]
    classes: NDArray[np.int64]
    probabilities: NDArray[np.float32]

    @property
    def looks_nowhere(self) -> NDArray[np.bool_]:
        """Whether an exit's map is empty, (exits,)."""
        return np.logical_not(self.heat.any(axis=(1, 2)))


class _Reader(nn.Module):
    """An exit block behind a layer of its own, so that no hook ever touches the shared network."""

    def __init__(self, exit_block: ExitBlock):
        super().__init__()
        self.feature_map = nn.Identity()
        # past nn.Module's bookkeeping: the parameters stay the network's
        self.__dict__["exit_block"] = exit_block

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.__dict__["exit_block"](self.feature_map(x))[0]
        return logits


def grad_cam(network: EarlyExitNetwork, image: NDArray[np.float32] | Tensor, chosen: int | None = None) -> Attention:
    """Grad-CAM at every exit: channels of its feature map, weighted by the mean gradient of the class's logit.

    The network is only read: segments run without gradients, and gradients go no further back than the feature map.
    Hold the network's lock as for any other run. Departures from the paper: the logit before softmax as there, but the
    layer is the exit's feature map and not the last convolution, and each map is divided by its own maximum.

    Args:
        network: in evaluation mode.
        image: preprocessed, (1, channels, h, w).
        chosen: a class for all exits, or None for each exit's own answer.

    Raises:
        UserError: no such class, or not one picture of the network's shape.
    """
    from captum.attr import LayerGradCam  # with matplotlib behind it, it takes a second

    if network.training:
        raise ValueError("the network is in training mode: call network.eval() first")
    x = torch.as_tensor(image).float()
    if tuple(x.shape) != (1, *network.input_shape):
        raise UserError(
            f"expected one preprocessed picture {(1, *network.input_shape)}, got {tuple(x.shape)}: "
            "apply the checkpoint's preprocessing first"
        )
    if chosen is not None and not 0 <= chosen < network.num_classes:
        raise UserError(f"expected a class from 0 to {network.num_classes - 1}, got {chosen}: choose one of these")
    _, height, width = network.input_shape
    maps, classes, probabilities = [], [], []
    with torch.inference_mode(False), torch.no_grad():  # gradients are needed, whatever mode the caller is in
        x = x.to(next(network.parameters()).device).clone()
        for n, segment in enumerate(network.segments):
            x = segment(x)
            logits = network.exit_block(n)(x)[0]
            target = int(logits.argmax()) if chosen is None else chosen
            reader = _Reader(network.exit_block(n))
            with torch.enable_grad():
                seen = x.detach().requires_grad_()
                cam = LayerGradCam(reader, reader.feature_map).attribute(seen, target, relu_attributions=True)
            assert isinstance(cam, Tensor)
            maps.append(_to_size(cam.detach(), (height, width)))
            classes.append(target)
            probabilities.append(torch.softmax(logits[0].float(), dim=0).cpu().numpy())
    return Attention(np.stack(maps), np.array(classes, np.int64), np.stack(probabilities))


def _to_size(cam: Tensor, size: tuple[int, int]) -> NDArray[np.float32]:
    """A map (1, 1, h, w) enlarged to the picture's size and divided by its maximum."""
    enlarged = F.interpolate(cam.float(), size, mode="bilinear", align_corners=False)[0, 0].cpu().numpy()
    largest = enlarged.max()
    return enlarged / largest if largest > 0 else np.zeros_like(enlarged)
