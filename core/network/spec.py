"""What a network is, as data: enough to build it, and readable without torch."""

from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

from core.errors import UserError
from core.network.placement import PLACEMENTS

SMALL_RESNET_DEPTHS = (20, 32, 44, 56, 110)  # 6n + 2 layers
TORCHVISION_RESNET_DEPTHS = (18, 34, 50, 101, 152)
VGG_DEPTHS = (11, 13, 16, 19)
MOBILENETS = ("mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large")
SMALL_IMAGE_MODELS = ("eenet8", *(f"eenet{depth}" for depth in SMALL_RESNET_DEPTHS))
TORCHVISION_MODELS = (
    *(f"eenet{depth}" for depth in TORCHVISION_RESNET_DEPTHS),
    *(f"eevgg{depth}" for depth in VGG_DEPTHS),
    *(f"ee{name}" for name in MOBILENETS),
)
MODELS = SMALL_IMAGE_MODELS + TORCHVISION_MODELS
STEMS = ("standard", "small")
LARGEST_FOR_SMALL_STEM = 64
EXIT_TYPES = ("plain", "pool", "bnpool", "grid")
CONFIDENCE_INPUTS = ("features", "features+answer")


@dataclass(frozen=True)
class NetworkSpec:
    """All it takes to build a network; stored in every checkpoint's card.

    Args:
        model: a name in `MODELS`; `plain_name` gives its exitless form.
        num_early_exits: K; 0 is the plain network.
        placement: one of `PLACEMENTS`.
        exit_type: one of `EXIT_TYPES`.
        input_shape: (channels, height, width).
        num_classes: two or more.
        confidence_input: `features` (the paper's branch) or `features+answer` (ours, see `answer_features`).
        stem: of torchvision's networks: `standard`, or `small` for inputs up to 64 pixels.
        width: of torchvision's networks: factor on their channels, above 0 and at most 4.

    Raises:
        UserError: a field is not one of these.
    """

    model: str
    num_early_exits: int
    placement: str
    exit_type: str
    input_shape: tuple[int, int, int]
    num_classes: int
    confidence_input: str = "features+answer"
    stem: str = "standard"
    width: float = 1.0

    def __post_init__(self) -> None:
        _one_of("model", self.model, MODELS)
        _one_of("placement", self.placement, tuple(PLACEMENTS))
        _one_of("exit type", self.exit_type, EXIT_TYPES)
        _one_of("confidence input", self.confidence_input, CONFIDENCE_INPUTS)
        if not _whole(self.num_early_exits, 0):
            raise UserError(f"expected a number of early exits of 0 or more, got {self.num_early_exits!r}")
        if not _whole(self.num_classes, 2):
            raise UserError(f"expected two classes or more, got {self.num_classes!r}")
        shape = self.input_shape
        if not isinstance(shape, (tuple, list)) or len(shape) != 3 or not all(_whole(n, 1) for n in shape):
            raise UserError(f"expected an input shape (channels, height, width), got {shape!r}")
        object.__setattr__(self, "input_shape", tuple(shape))
        _one_of("stem", self.stem, STEMS)
        if not isinstance(self.width, (int, float)) or not 0 < self.width <= 4:
            raise UserError(f"expected a width above 0 and at most 4, got {self.width!r}")
        if self.model in SMALL_IMAGE_MODELS and (self.stem, self.width) != ("standard", 1):
            raise UserError(f"expected the standard stem and width 1 for {self.model}, got {self.stem}, {self.width:g}")
        if self.stem == "small" and max(shape[1:]) > LARGEST_FOR_SMALL_STEM:
            raise UserError(
                f"expected images of at most {LARGEST_FOR_SMALL_STEM} pixels for the small stem, got {max(shape[1:])}"
            )

    def to_json(self) -> dict[str, Any]:
        """Plain values for the card."""
        return asdict(self) | {"input_shape": list(self.input_shape)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "NetworkSpec":
        """Inverse of `to_json`.

        Raises:
            UserError: a field is missing, unknown or out of range.
        """
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(values) - set(known))
        missing = [field.name for field in fields(cls) if field.default is MISSING and field.name not in values]
        if unknown or missing:
            raise UserError(f"expected the network's fields {', '.join(known)}, got {', '.join(sorted(values))}")
        return cls(**values)


def plain_name(model: str) -> str:
    """What the network without exits is called: `eenet20` -> `resnet20`, `eevgg16` -> `vgg16`."""
    return model.replace("eenet", "resnet") if model.startswith("eenet") else model.removeprefix("ee")


def backbone(spec: NetworkSpec) -> tuple[object, ...]:
    """What decides the backbone and its classifier; networks that agree in it can share these weights."""
    return spec.model, spec.input_shape, spec.num_classes, spec.stem, spec.width


def folder_name(spec: NetworkSpec) -> str:
    """The usual name of a checkpoint's folder: `eenet20`, `resnet20` without exits, `eenet18-width-0.25`."""
    name = spec.model if spec.num_early_exits else plain_name(spec.model)
    return name if spec.width == 1 else f"{name}-width-{spec.width:g}"


def _whole(value: object, smallest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= smallest


def _one_of(what: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UserError(f"expected {what} to be one of {', '.join(choices)}, got {value!r}")
