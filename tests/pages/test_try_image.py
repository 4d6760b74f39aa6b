"""*Try an image* as a visitor meets it: what it shows is what the executor says, and bad files get one line."""

import base64
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from streamlit.testing.v1 import AppTest

from app.cache import temperatures
from core.checkpoints import Card, load_network, save_checkpoint
from core.data.decode import MAX_BYTES
from core.data.embedded import load_embedded, load_labels
from core.data.preprocess import Preprocessing, to_image
from core.network.executor import Policy, execute
from core.network.registry import build_network
from core.network.spec import NetworkSpec

MAIN = str(Path(__file__).parents[2] / "app" / "main.py")
MODEL = "mnist/eenet8"


def open_page(**parameters: str) -> AppTest:
    app = AppTest.from_file(MAIN, default_timeout=60)
    app.run()
    app.query_params.update({"model": MODEL, "rule": "probability", "t": "0.8", **parameters})
    return app.switch_page("../pages/try_image.py").run()


def choose_way(app: AppTest, way: str) -> AppTest:
    return app.segmented_control(key="try_way_choice").set_value(way).run()


def component(app: AppTest, name: str) -> dict[str, Any] | None:
    found = [c for c in app.get("bidi_component") if c.proto.component_name == f"eenet_{name}"]
    return json.loads(found[0].proto.json) if found else None


def sentence(app: AppTest) -> str:
    return "".join(text for text, _ in component(app, "sentence")["parts"]).replace("\u202f", " ")


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def calm(app: AppTest) -> None:
    assert not app.exception
    for shown in (*app.error, *app.warning):
        assert "\n" not in shown.value and "Traceback" not in shown.value


def seven(mode: str = "L", size: tuple[int, int] = (90, 120)) -> Image.Image:
    """Dark strokes on light paper."""
    pixels = np.full((size[1], size[0]), 240, np.uint8)
    pixels[20:30, 15:75] = 15
    for y in range(30, 105):
        x = 70 - (y - 30) * 40 // 75
        pixels[y, x - 5 : x + 5] = 15
    return Image.fromarray(pixels).convert(mode)


@pytest.fixture(scope="module")
def executed() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Exits, answers and costs that the executor gives the first 40 test images at T = 0.8."""
    network, card = load_network(MODEL)
    images = card.preprocessing.normalise(load_embedded("mnist")[:40])
    found = execute(network, images, Policy("probability", (0.8,)))
    return found.exits, found.predicted, np.array(card.cost.relative())[found.exits]


@pytest.mark.parametrize("row", [0, 6, 17])
def test_a_test_image_leaves_where_the_executor_says(row: int, executed) -> None:
    app = open_page(image=str(row))
    calm(app)
    exits, predicted, cost = executed
    shown = component(app, "journey")
    assert shown["taken"] == exits[row]
    assert shown["exits"][shown["taken"]]["top"][0][0] == str(predicted[row])
    assert shown["exits"][shown["taken"]]["cost"] == pytest.approx(cost[row])
    assert [exit_["executed"] for exit_ in shown["exits"]] == [n <= exits[row] for n in range(3)]
    assert f"exit {exits[row] + 1}" in sentence(app) and f"“{predicted[row]}”" in sentence(app)
    assert f"{100 * cost[row]:.0f} %" in sentence(app)
    assert app.query_params["image"] == str(row)


def test_the_first_image_is_shown_with_nothing_clicked() -> None:
    app = AppTest.from_file(MAIN, default_timeout=60).run()
    app.switch_page("../pages/try_image.py").run()
    calm(app)
    assert component(app, "journey") and component(app, "picker")["bands"]
    shown = component(app, "journey")
    assert shown["timing"] is None and shown["device"]  # the browser asks for the times once it has drawn the story


def test_threshold_rule_and_choice_are_shared_and_act_at_once() -> None:
    app = open_page(image="5")
    app.slider(key="try_t").set_value(1.0).run()
    assert component(app, "journey")["taken"] == 2 and sentence(app).startswith("Goes all the way to exit 3")
    assert app.session_state["view"].thresholds == (1.0,)
    app.slider(key="try_t").set_value(0.0).run()
    assert component(app, "journey")["taken"] == 0 and app.query_params["t"] == "0"
    app.segmented_control(key="rule_choice").set_value("margin").run()
    assert app.session_state["view"].rule == "margin" and component(app, "journey")["rule"]["label"] == "Margin"
    before = component(app, "picker")["bands"]
    app.button(key="try_shuffle").click().run()
    assert component(app, "picker")["bands"] != before
    app.button(key="try_random").click().run()
    calm(app)
    assert component(app, "journey")["image"].startswith("Test image ")


def test_calibrated_scores_are_the_executor_s() -> None:
    app = open_page(image="6", temperature="1")
    calm(app)
    network, card = load_network(MODEL)
    fitted = temperatures(MODEL)
    images = card.preprocessing.normalise(load_embedded("mnist")[6:7])
    found = execute(network, images, Policy("probability", (0.8,), fitted))
    shown = component(app, "journey")
    assert shown["taken"] == found.exits[0] and shown["rule"]["label"] == "Largest probability with temperature"
    for n in range(shown["taken"] + 1):
        assert shown["exits"][n]["score"] == pytest.approx(float(found.scores[0, n]), abs=1e-6)
    plain = component(open_page(image="6"), "journey")
    assert plain["exits"][0]["score"] != shown["exits"][0]["score"]


def test_one_threshold_per_exit() -> None:
    app = open_page(image="5", t="1,0")
    assert component(app, "journey")["taken"] == 1
    app.slider(key="try_t0").set_value(0.0).run()
    assert component(app, "journey")["taken"] == 0 and app.session_state["view"].thresholds == (0.0, 0.0)


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter to the right
    return encoded(seven("RGB").transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif, quality=95)


def deep() -> bytes:
    return encoded(Image.fromarray(np.asarray(seven()).astype(np.uint16) * 257))


GOOD = {
    "grey.png": lambda: encoded(seven()),
    "colour.jpg": lambda: encoded(seven("RGB"), "JPEG", quality=95),
    "alpha.png": lambda: encoded(seven("RGBA")),
    "print.jpg": lambda: encoded(seven("CMYK"), "JPEG", quality=95),
    "deep.png": deep,
    "turned.jpg": rotated,
    "moving.gif": lambda: encoded(seven(), "GIF", save_all=True, append_images=[Image.new("L", (90, 120))]),
    "wide.webp": lambda: encoded(seven().resize((1500, 2000)), "WEBP", quality=90),
    "scan.tiff": lambda: encoded(seven(), "TIFF"),
    "small.bmp": lambda: encoded(seven().resize((15, 20)), "BMP"),
}


@pytest.fixture(scope="module")
def page() -> AppTest:
    return choose_way(open_page(), "file")


@pytest.mark.parametrize("name", GOOD)
def test_a_file_is_taken_to_its_exit(page: AppTest, name: str) -> None:
    page.file_uploader(key="try_file").upload(name, GOOD[name](), "image/png").run()
    calm(page)
    assert not page.error
    shown = component(page, "journey")
    assert shown["image"] == name
    assert shown["exits"][shown["taken"]]["top"][0][0] == "7"
    assert "inverted: the network knows bright strokes on black" in shown["seen"]["steps"]
    assert shown["original"]["width"] < shown["original"]["height"]
    assert "image" not in page.query_params
    assert "Whatever the picture shows" in component(page, "sentence")["below"]


def large() -> bytes:
    """100 megapixels in a few kilobytes."""
    return encoded(Image.new("1", (10_000, 10_000)))


BAD = {
    "nothing.png": (lambda: b"", "empty"),
    "notes.png": (lambda: b"Dear diary, no picture today.", "no image"),
    "cut.png": (lambda: encoded(seven())[:200], "damaged or cut-off"),
    "huge.png": (large, "100 megapixels"),
    "heavy.png": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(40 * 2**20), "40 MB"),
    "phone.heic": (lambda: b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC: save it as PNG or JPEG"),
    "strip.png": (lambda: encoded(Image.new("L", (30_000, 40))), "20,000 pixels a side"),
    "<b>*paper*</b>.pdf": (lambda: b"%PDF-1.7 ...", "PDF"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_gets_one_line_and_the_next_one_works(page: AppTest, name: str) -> None:
    data, expected = BAD[name]
    page.file_uploader(key="try_file").upload(name, data(), "image/png").run()
    calm(page)
    assert len(page.error) == 1
    assert expected in page.error[0].value.replace("\\", "")
    assert "expected" in page.error[0].value and "<b>" not in page.error[0].value
    assert component(page, "journey") is None
    page.file_uploader(key="try_file").upload("good.png", encoded(seven()), "image/png").run()
    assert not page.error and component(page, "journey")["image"] == "good.png"


def test_every_way_keeps_what_came_by_it() -> None:
    app = choose_way(open_page(image="5"), "file")
    assert component(app, "journey") is None and sentence(app) == "Bring an image, and see where it leaves"
    assert "image" not in app.query_params
    app.file_uploader(key="try_file").upload("mine.png", encoded(seven()), "image/png").run()
    choose_way(app, "test")
    calm(app)
    assert component(app, "journey")["image"] == "Test image 5" and app.query_params["image"] == "5"
    choose_way(app, "file")
    assert component(app, "journey")["image"] == "mine.png"
    app.query_params["image"] = "7"
    app.run()
    assert component(app, "journey")["image"] == "Test image 7"
    choose_way(app, "file")
    app.file_uploader(key="try_file").upload("other.png", encoded(seven()), "image/png").run()
    app.file_uploader(key="try_file").set_value(None).run()
    calm(app)
    assert component(app, "journey") is None


def test_a_zip_is_sent_where_it_belongs(page: AppTest) -> None:
    page.file_uploader(key="try_file").upload("cats.zip", zipped({"a.png": b"x"}), "application/zip").run()
    calm(page)
    assert "choose Many above" in page.error[0].value


def test_a_photo_is_taken_to_its_exit() -> None:
    app = choose_way(open_page(), "camera")
    assert component(app, "journey") is None and "Allow the camera" in app.caption[0].value
    app.camera_input(key="try_camera").upload("photo.jpg", encoded(seven("RGB"), "JPEG")).run()
    calm(app)
    shown = component(app, "journey")
    assert shown["image"] == "Photo" and shown["exits"][shown["taken"]]["top"][0][0] == "7" and shown["note"]


def drawing(*points: tuple[int, int]) -> str:
    pad = Image.new("RGB", (280, 280))
    if points:
        ImageDraw.Draw(pad).line(points, fill="white", width=22)
    return "data:image/png;base64," + base64.b64encode(encoded(pad)).decode()


def test_a_drawing_is_taken_to_its_exit_and_an_empty_pad_is_one_line() -> None:
    app = choose_way(open_page(), "draw")
    assert component(app, "pad") and component(app, "journey") is None
    name, data = "Your drawing", base64.b64decode(drawing((130, 40), (150, 230)).partition(",")[2])
    app.session_state["try_brought"] = {"draw": (name, data)}
    app.run()
    calm(app)
    shown = component(app, "journey")
    assert shown["image"] == name and shown["exits"][shown["taken"]]["top"][0][0] == "1"
    assert "as the digits of MNIST" in shown["seen"]["steps"][0] and shown["seen"]["width"] == 28
    app.session_state["try_brought"] = {"draw": (name, base64.b64decode(drawing().partition(",")[2]))}
    app.run()
    calm(app)
    assert "empty pad" in app.error[0].value and component(app, "pad")


def test_colour_networks_hand_the_pen_on() -> None:
    app = choose_way(open_page(model="cifar10/eenet20"), "draw")
    calm(app)
    assert component(app, "pad") is None
    next(button for button in app.button if button.label.startswith("Draw for")).click().run()
    calm(app)
    assert component(app, "pad") and app.session_state["view"].model.startswith("mnist/")


def test_a_paste_is_taken_to_its_exit() -> None:
    app = choose_way(open_page(), "paste")
    assert component(app, "paste")["limit"] == MAX_BYTES
    app.session_state["try_brought"] = {"paste": ("Pasted image", encoded(seven()))}
    app.run()
    calm(app)
    assert component(app, "journey")["image"] == "Pasted image"


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def hundred() -> bytes:
    """A hundred test images in folders named after their classes, three of them broken."""
    images, labels = load_embedded("mnist"), load_labels("mnist").labels
    files = {f"digits/{labels[row]}/{row:03}.png": encoded(to_image(images[row])) for row in range(100)}
    for broken in (3, 50, 99):
        files[f"digits/{labels[broken]}/{broken:03}.png"] = b"broken"
    return zipped(files)


def test_a_zip_of_many_gives_what_each_image_alone_gives(hundred: bytes, executed) -> None:
    app = choose_way(open_page(), "many")
    app.file_uploader(key="try_many").upload("digits.zip", hundred, "application/zip").run()
    calm(app)
    table, failures = app.dataframe[0].value, app.dataframe[1].value
    assert len(table) == 97 and len(failures) == 3
    assert sorted(name[-7:-4] for name in failures["file"]) == ["003", "050", "099"]
    rows = np.array([int(name[-7:-4]) for name in table["file"]])
    first = rows < 40
    exits, predicted, cost = executed
    assert (table["exit"][first] == exits[rows[first]] + 1).all()
    assert (table["answer"][first].astype(int) == predicted[rows[first]]).all()
    np.testing.assert_allclose(table["cost"][first], cost[rows[first]])
    assert table["right"].mean() > 0.9 and table["class"][0] == table["file"][0].split("/")[1]
    assert sentence(app).startswith("97 images: ") and "97 read, 3 not" in component(app, "sentence")["below"]
    assert app.session_state["try_job"].done and component(app, "journey") is None


def test_the_table_follows_the_threshold_and_a_row_opens_its_picture(hundred: bytes) -> None:
    app = choose_way(open_page(), "many")
    app.file_uploader(key="try_many").upload("digits.zip", hundred, "application/zip").run()
    decoded = app.session_state["try_job"].chunks[0]
    app.slider(key="try_t").set_value(1.0).run()
    calm(app)
    assert (app.dataframe[0].value["exit"] == 3).all() and "most at exit 3" in sentence(app)
    assert app.session_state["try_job"].chunks[0] is decoded  # nothing was read again
    place = app.session_state["try_job"].places[10]
    app.session_state["try_many_row"] = place
    app.run()
    calm(app)
    shown, row = component(app, "journey"), app.dataframe[0].value.iloc[10]
    assert row["file"].endswith(shown["image"]) and shown["taken"] == row["exit"] - 1
    assert shown["exits"][2]["top"][0][0] == row["answer"]


def test_another_network_hears_the_same_pictures_or_reads_them_anew(hundred: bytes) -> None:
    app = choose_way(open_page(), "many")
    app.file_uploader(key="try_many").upload("digits.zip", hundred, "application/zip").run()
    app.selectbox(key="network").set_value("cifar10/eenet20").run()
    calm(app)
    assert len(app.dataframe[0].value) == 97 and app.session_state["try_job"].chunks[0].pictures.shape[1:] == (
        3,
        32,
        32,
    )
    app.file_uploader(key="try_many").set_value([]).run()
    calm(app)
    assert component(app, "journey") is None and not app.dataframe


def test_too_many_files_and_a_zip_that_leads_outside_are_one_line_each() -> None:
    app = choose_way(open_page(), "many")
    big = zipped({f"{i}.png": b"" for i in range(10_001)})
    app.file_uploader(key="try_many").upload("big.zip", big, "application/zip").run()
    calm(app)
    assert "at most 10,000 files, got 10,001" in app.dataframe[0].value["problem"][0]
    assert sentence(app) == "No image among what was brought"
    app.file_uploader(key="try_many").set_value([("out.zip", zipped({"../a.png": b""}), "application/zip")]).run()
    calm(app)
    assert "paths inside the zip" in app.dataframe[0].value["problem"][0]


def test_a_picture_unlike_the_digits_gets_an_honest_note(page: AppTest) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    page.file_uploader(key="try_file").upload("noise.png", encoded(Image.fromarray(noise)), "image/png").run()
    shown = component(page, "journey")
    assert shown["unusual"] and "more unusual than all of 1,000 of the 10,000 MNIST test images" in shown["note"]
    assert "brighter than all" in shown["note"]
    assert shown["seen"]["steps"][0] == "colours dropped"
    digit = load_embedded("mnist")[4]
    page.file_uploader(key="try_file").upload("digit.png", encoded(to_image(digit)), "image/png").run()
    shown = component(page, "journey")
    assert not shown["unusual"] and "no proof" in shown["note"]


@pytest.mark.parametrize(
    ("parameters", "word"),
    [({"image": "abc"}, "image"), ({"image": "10000"}, "image"), ({"image": "-1"}, "image"), ({"t": "nan"}, "t =")],
)
def test_a_wrong_link_says_one_line(parameters: dict[str, str], word: str) -> None:
    app = open_page(**parameters)
    calm(app)
    assert len(app.warning) == 1 and word in app.warning[0].value.replace("\\", "")
    assert component(app, "journey")


def test_a_network_of_one_s_own_without_test_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five exits, seven classes, colour, nothing but weights and a card."""
    spec = NetworkSpec("eenet20", 4, "pareto", "bnpool", (3, 24, 24), 7)
    network, cost = build_network(spec)
    card = Card(
        title="EENet-20",
        dataset="frogs & toads",
        spec=spec,
        preprocessing=Preprocessing(channels=3, size=24, mean=(0.5,) * 3, std=(0.25,) * 3),
        class_names=("<i>frog</i>", *(f"class {n}" for n in range(6))),
        cost=cost,
    )
    save_checkpoint(tmp_path / "own" / "eenet20", network, card)
    monkeypatch.setattr("app.cache.ROOT", tmp_path)
    app = AppTest.from_file(MAIN, default_timeout=60).run()
    app.switch_page("../pages/try_image.py").run()
    assert not app.exception
    assert app.subheader[0].value == "Bring an image" and component(app, "picker") is None
    assert app.segmented_control(key="try_way_choice").value == "file"
    app.file_uploader(key="try_file").upload("photo.png", encoded(seven("RGB")), "image/png").run()
    calm(app)
    shown = component(app, "journey")
    assert len(shown["exits"]) == 5 and shown["seen"]["channels"] == 3 and shown["note"] is None
    assert [block["exit"] for block in shown["blocks"]] == sorted(block["exit"] for block in shown["blocks"])
    assert sum(block["macs"] for block in shown["blocks"]) == cost.plain_macs


def test_no_network_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.cache.ROOT", tmp_path)
    app = AppTest.from_file(MAIN, default_timeout=60).run()
    app.switch_page("../pages/try_image.py").run()
    assert not app.exception and app.title[0].value == "No network to try an image on yet"


def test_labels_of_wrong_answers_are_told() -> None:
    labels = load_labels("mnist").labels
    network, card = load_network(MODEL)
    images = card.preprocessing.normalise(load_embedded("mnist")[:2000])
    found = execute(network, images, Policy("probability", (0.8,)))
    wrong = int(np.flatnonzero(found.predicted != labels[:2000])[0])
    app = open_page(image=str(wrong))
    assert sentence(app).endswith(f"; in truth it is a “{labels[wrong]}”")
