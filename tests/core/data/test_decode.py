"""Every file a visitor may upload ends as an upright 8-bit picture or as one line."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from core.data import decode
from core.data.decode import decode_image, printable
from core.errors import UserError

RED, WHITE = (255, 0, 0), (255, 255, 255)


def encoded(image: Image.Image, file_format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG that claims a size, with these chunks behind the header."""
    header = (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    parts = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in (header, *chunks, (b"IEND", b""))
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def refusal(data: bytes, name: str = "cat.png") -> str:
    with pytest.raises(UserError) as caught:
        decode_image(data, name)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(name)
    assert "expected" in message and "got" in message and message.count(": ") >= 2
    return message


def gradient(width: int = 20, height: int = 12) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x * 12, y * 20, x + y], axis=2).astype(np.uint8))


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "BMP", "TIFF"])
def test_lossless_formats_keep_every_pixel(file_format):
    options = {"lossless": True} if file_format == "WEBP" else {}
    image = decode_image(encoded(gradient(), file_format, **options))
    assert image.mode == "RGB"
    assert np.array_equal(np.asarray(image), np.asarray(gradient()))


def test_jpeg_and_grey_png():
    assert decode_image(encoded(gradient(), "JPEG")).size == (20, 12)
    assert decode_image(encoded(gradient().convert("L"))).mode == "L"


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "TIFF"])
def test_first_frame_of_an_animation(file_format):
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, (0, 255, 0), (0, 0, 255))]
    options = {"lossless": True} if file_format == "WEBP" else {}
    image = decode_image(encoded(frames[0], file_format, save_all=True, append_images=frames[1:], **options))
    assert image.mode == "RGB"
    assert image.getpixel((4, 4)) == RED


def test_exif_rotation():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn by 90 degrees
    picture = Image.new("RGB", (20, 10), "white")
    picture.paste(RED, (0, 0, 10, 10))  # left half, which becomes the top
    image = decode_image(encoded(picture, "PNG", exif=exif))
    assert image.size == (10, 20)
    assert image.getpixel((5, 2)) == RED
    assert image.getpixel((5, 17)) == WHITE


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_leaves_the_picture_as_it_lies():
    data = encoded(gradient(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05")
    assert decode_image(data).size == (20, 12)


def test_sixteen_bit_grey_keeps_its_range():
    values = np.array([[0, 257, 32_896, 65_535]], dtype=np.uint16)
    for file_format in ("PNG", "TIFF"):
        image = decode_image(encoded(Image.fromarray(values), file_format))
        assert image.mode == "L"
        assert np.asarray(image).tolist() == [[0, 1, 128, 255]]


def test_grey_fractions_from_a_tiff():
    image = decode_image(encoded(Image.fromarray(np.array([[0.0, 0.5, 1.0]], dtype=np.float32)), "TIFF"))
    assert np.asarray(image).tolist() == [[0, 128, 255]]


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 300.0])
def test_grey_values_without_a_known_range(value):
    message = refusal(encoded(Image.fromarray(np.array([[0.0, value]], dtype=np.float32)), "TIFF"))
    assert "grey values from 0 to 1" in message


def test_one_bit():
    image = decode_image(encoded(Image.fromarray(np.array([[True, False]]))))
    assert image.mode == "L"
    assert np.asarray(image).tolist() == [[255, 0]]


def test_palette():
    image = decode_image(encoded(gradient().quantize(16)))
    assert image.mode == "RGB"
    assert np.abs(np.asarray(image).astype(int) - np.asarray(gradient())).mean() < 20


def test_transparency_lies_on_white():
    half_red = Image.new("RGBA", (2, 1), (255, 0, 0, 0))
    half_red.putpixel((1, 0), (255, 0, 0, 255))
    image = decode_image(encoded(half_red))
    assert [image.getpixel((x, 0)) for x in (0, 1)] == [WHITE, RED]
    grey = Image.new("LA", (2, 1), (0, 0))
    grey.putpixel((1, 0), (0, 255))
    image = decode_image(encoded(grey))
    assert image.mode == "L"
    assert np.asarray(image).tolist() == [[255, 0]]


def test_transparent_colours_of_a_palette_and_of_plain_pictures():
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([255, 0, 0, 0, 255, 0])
    palette.putpixel((1, 0), 1)
    for transparency in (1, b"\xff\x00"):
        image = decode_image(encoded(palette, transparency=transparency))
        assert [image.getpixel((x, 0)) for x in (0, 1)] == [RED, WHITE]
    image = decode_image(encoded(Image.new("RGB", (1, 1), RED), transparency=RED))
    assert image.getpixel((0, 0)) == WHITE
    image = decode_image(encoded(Image.new("L", (1, 1), 7), transparency=7))
    assert (image.mode, image.getpixel((0, 0))) == ("L", 255)


@pytest.mark.parametrize("file_format", ["JPEG", "TIFF"])
def test_cmyk(file_format):
    image = decode_image(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), file_format))
    assert image.mode == "RGB"
    red, green, blue = image.getpixel((4, 4))
    assert red > 200 and green < 60 and blue < 60


def test_lab_is_refused():
    assert "LAB" in refusal(encoded(Image.new("LAB", (4, 4)), "TIFF"))


def test_a_hundred_megapixels_are_refused_from_the_header():
    assert "100 megapixels" in refusal(png(10_000, 10_000))
    assert "got 3,600 megapixels" in refusal(png(60_000, 60_000))
    assert "got 81 megapixels (9000 x 9000)" in refusal(png(9_000, 9_000))
    assert "20,000 pixels a side" in refusal(png(30_000, 100))


def test_the_size_is_checked_before_any_pixel_is_decoded(monkeypatch):
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("decoded"))
    bomb = png(10_000, 8_000, (b"IDAT", zlib.compress(bytes(1_000_000))))
    assert "80 megapixels" in refusal(bomb)


def test_a_compressed_text_bomb_in_a_png_is_refused():
    bomb = (b"zTXt", b"comment\0\0" + zlib.compress(bytes(5_000_000)))
    assert "damaged" in refusal(png(4, 4, bomb))


def test_forty_megabytes():
    message = refusal(bytes(40 * 2**20))
    assert "at most 32 MB" in message and "got 40 MB" in message


def test_empty():
    assert "empty file" in refusal(b"")


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow warns about some damage before it gives up
@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.9])
def test_cut_off_files(file_format, share):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = encoded(noise, file_format)
    assert "damaged or cut-off" in refusal(data[: max(4, int(len(data) * share))])


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_flipped_bytes_never_raise_anything_but_a_line(file_format):
    rng = np.random.default_rng(1)
    data = np.frombuffer(encoded(gradient(), file_format), dtype=np.uint8)
    for _ in range(60):
        broken = data.copy()
        broken[rng.integers(0, len(data), 4)] = rng.integers(0, 256, 4)
        try:
            assert decode_image(broken.tobytes()).mode in ("L", "RGB")
        except UserError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"hello, I am a text", "no image"),
        (b"\0" * 100, "no image"),
        (b"%PDF-1.7 ...", "PDF"),
        (b"PK\x03\x04 ...", "zip"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"\0\0\0\x18ftypavif\0\0\0\0", "AVIF"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "video"),
        (b'<?xml version="1.0"?><svg xmlns="x"></svg>', "SVG"),
        (b"RIFF\0\0\0\0WAVEfmt ", "RIFF"),
    ],
)
def test_other_files_are_named(data, kind):
    assert f"got {kind}" in refusal(data)


def test_the_content_counts_not_the_name():
    assert decode_image(encoded(gradient(), "PNG"), "photo.jpg").size == (20, 12)


def test_names_fit_on_one_line():
    assert printable("a\nb\0c.png") == "a?b?c.png"
    assert len(printable("x" * 300 + ".jpeg")) == 60
    assert printable("x" * 300 + ".jpeg").endswith(".jpeg")
    assert printable("  ") == "the file"
    with pytest.raises(UserError, match=r"^two\?lines\.png: "):
        decode_image(b"", "two\nlines.png")


def test_limits_are_below_what_the_page_may_receive():
    assert decode.MAX_BYTES < 40e6
    assert decode.MAX_PIXELS < 100e6
