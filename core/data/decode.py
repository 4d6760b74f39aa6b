"""Uploaded bytes to a picture, safely: nothing in a file can take the memory or the page down."""

import io
import re
import struct
import zlib
from typing import NoReturn

import numpy as np
from PIL import Image, ImageOps

from core.errors import UserError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
MAX_BYTES = 32 * 2**20
MAX_PIXELS = 64_000_000
MAX_SIDE = 20_000

# What Pillow's readers raise on damaged files; EOFError, SyntaxError and struct.error come from their header parsers.
_DAMAGE = (
    OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError, OverflowError, AttributeError, MemoryError,
    AssertionError, struct.error, zlib.error,
)  # fmt: skip
_REMEDY = "save it as PNG or JPEG and load that"


def decode_image(data: bytes, name: str = "the file") -> Image.Image:
    """The picture in an uploaded file, upright, 8 bits per channel, without transparency.

    Of an animation or a file of several pages the first one is taken; transparent parts become white; 16-bit grey is
    scaled to 8 bits; the camera's rotation (EXIF) is applied. The size is checked in the header, before any pixel is
    decoded.

    Args:
        data: the file, at most `MAX_BYTES`; one of `FORMATS`, told by its content, whatever it is called.
        name: what to call it in messages.

    Returns:
        A picture of mode `L` (grey) or `RGB`, at most `MAX_PIXELS` pixels and `MAX_SIDE` a side.

    Raises:
        UserError: one line: too large, empty, damaged, not an image, or a format that is not read.
    """
    what = printable(name)
    if not data:
        raise UserError(f"{what}: expected an image, got an empty file (0 bytes): load another")
    if len(data) > MAX_BYTES:
        raise UserError(
            f"{what}: expected an image file of at most {MAX_BYTES / 2**20:.0f} MB, "
            f"got {len(data) / 2**20:.0f} MB: save it smaller"
        )
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        _check_size(what, image.size)
        image.seek(0)
        image.load()
        return _flat(what, _upright(image))
    except UserError:
        raise
    except Image.UnidentifiedImageError:
        _refuse_unknown(what, data)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        # Pillow's own check comes before ours and may be a warning or an error; its text tells the size
        counted = re.search(r"\((\d+) pixels\)", str(error))
        size = _megapixels(int(counted[1])) if counted else "a larger picture"
        raise UserError(f"{what}: expected at most {_megapixels(MAX_PIXELS)}, got {size}: shrink it first") from error
    except _DAMAGE as error:
        raise UserError(
            f"{what}: expected a whole image, got a damaged or cut-off {_kind(data)} file: {_REMEDY}"
        ) from error


def printable(name: str, longest: int = 60) -> str:
    """A file name fit for one line of a message: no control characters, shortened in the middle."""
    clean = "".join(letter if letter.isprintable() else "?" for letter in name).strip() or "the file"
    if len(clean) <= longest:
        return clean
    return f"{clean[: longest - 15]}...{clean[-12:]}"


def _check_size(what: str, size: tuple[int, int]) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise UserError(f"{what}: expected a picture, got {width} x {height} pixels: load another")
    if width * height > MAX_PIXELS:
        raise UserError(
            f"{what}: expected at most {_megapixels(MAX_PIXELS)}, "
            f"got {_megapixels(width * height)} ({width} x {height}): shrink it first"
        )
    if max(size) > MAX_SIDE:
        raise UserError(
            f"{what}: expected at most {MAX_SIDE:,} pixels a side, got {width} x {height}: crop or shrink it first"
        )


def _megapixels(pixels: int) -> str:
    return f"{pixels / 1e6:,.0f} megapixels"


def _upright(image: Image.Image) -> Image.Image:
    """Turned as the camera was held; a file whose EXIF block is damaged stays as it lies."""
    try:
        return ImageOps.exif_transpose(image)
    except _DAMAGE:
        return image


def _flat(what: str, image: Image.Image) -> Image.Image:
    """Mode L or RGB, transparency on white."""
    mode = image.mode
    if mode in ("L", "RGB") and "transparency" not in image.info:
        return image
    if mode == "1":
        return image.convert("L")
    if mode in ("I", "F") or mode.startswith("I;16"):
        return _to_8_bits(what, image)
    if "transparency" in image.info or mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        grey = mode in ("L", "LA", "La")
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("L" if grey else "RGB")
    if mode in ("L", "RGB", "P", "CMYK", "YCbCr", "RGBX", "HSV"):
        return image.convert("RGB")
    raise UserError(f"{what}: expected grey or colour, got the colour space {mode}: {_REMEDY}")


def _to_8_bits(what: str, image: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits: whole numbers are taken for 0..65535, fractions for 0..1."""
    values = np.asarray(image)
    white = 1.0 if image.mode == "F" else 65_535.0
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= white):  # also true where a value is NaN
        raise UserError(f"{what}: expected grey values from 0 to {white:.0f}, got {low:g} to {high:g}: {_REMEDY}")
    scaled = np.round(values.astype(np.float32) * np.float32(255 / white))
    return Image.fromarray(scaled.astype(np.uint8))


def _kind(data: bytes) -> str:
    """What the first bytes say, for messages."""
    for start, kind in _SIGNATURES:
        if data.startswith(start):
            return kind
    if data[4:8] == b"ftyp":
        return {b"hei": "HEIC", b"hev": "HEIC", b"mif": "HEIC", b"avi": "AVIF"}.get(data[8:11], "video")
    if data[:4] == b"RIFF":
        return "WebP" if data[8:12] == b"WEBP" else "RIFF"
    if b"<svg" in data[:1024].lower():
        return "SVG"
    return "unknown"


_SIGNATURES = (
    (b"\x89PNG", "PNG"),
    (b"\xff\xd8", "JPEG"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"%PDF", "PDF"),
    (b"PK\x03\x04", "zip"),
    (b"8BPS", "Photoshop"),
)


def _refuse_unknown(what: str, data: bytes) -> NoReturn:
    """No reader took the file: a known format broken at its very start, a format that is not read, or no image."""
    kind = _kind(data)
    if kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WebP"):
        raise UserError(f"{what}: expected a whole image, got a damaged or cut-off {kind} file: {_REMEDY}")
    if kind == "unknown":
        raise UserError(f"{what}: expected an image ({', '.join(FORMATS)}), got no image: load another file")
    raise UserError(f"{what}: expected {', '.join(FORMATS)}, got {kind}: {_REMEDY}")
