"""The page Models as a script: the table, every kind of card, links good and bad, zips in and out."""

import io
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from app import cache, zoo_table
from core.checkpoints import CHECKPOINTS
from core.suitcase import pack

ROOT = Path(__file__).parents[2]
FILES = ("card.json", "model.safetensors", "trace-test.npz", "history.jsonl")
EENET8, RESNET8 = "mnist/eenet8", "mnist/resnet8"


def open_page(**parameters):
    at = AppTest.from_file(str(ROOT / "app/main.py"), default_timeout=60).run()
    for name, value in parameters.items():
        at.query_params[name] = value
    return at.switch_page("../pages/models.py").run()


def copy(root, name, to=None, **recipe):
    """A checkpoint's folder below another root, under another name, with another recipe."""
    folder = root / (to or name)
    folder.mkdir(parents=True)
    for file in FILES:
        shutil.copyfile(CHECKPOINTS / name / file, folder / file)
    card = json.loads((folder / "card.json").read_text())
    card["recipe"] |= recipe
    (folder / "card.json").write_text(json.dumps(card))
    return folder


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A root with one network with early exits and its plain counterpart."""
    copy(tmp_path, EENET8)
    copy(tmp_path, RESNET8)
    monkeypatch.setattr(cache, "ROOT", tmp_path)
    st.cache_data.clear()
    st.cache_resource.clear()
    yield tmp_path
    st.cache_data.clear()
    st.cache_resource.clear()


def table(at):
    return at.dataframe[0].value


def top(at):
    """The sentence on top, and the line below it."""
    data = json.loads(at.get("bidi_component")[0].proto.json)
    return "".join(text for text, _ in data["parts"]).replace("\u202f", " "), data["below"]


def drawn(at):
    """What the drawing of the network was given."""
    return next(
        data for part in at.get("bidi_component") if "plainMacs" in (data := json.loads(part.proto.json or "{}"))
    )


def pages_html(at):
    return "\n".join(part.proto.body for part in at.get("html"))


def captions(at):
    return "\n".join(caption.value for caption in at.caption)


def test_a_newcomer_sees_the_table_and_a_card(root):
    at = open_page()
    assert not at.exception and not at.warning and not at.error
    assert table(at)["name"].tolist() == [EENET8, RESNET8]
    words, below = top(at)
    assert words.startswith("2 networks, 1 with early exits. For at most 50 % of its computation, mnist/eenet8 is")
    assert "n = 10,000" in below
    assert drawn(at)["name"] == EENET8 and len(drawn(at)["exits"]) == 3
    text = pages_html(at)
    assert "EENet-8 on MNIST" in text and "SHA-256" in text and "Wilson" in text
    assert len(at.get("plotly_chart")) == 1
    assert at.code[0].value.startswith("python -m core train --dataset mnist --model eenet8 --exits 2")
    links = [link.proto.page for link in at.get("page_link")]
    assert {"", "who", "try"} <= set(links)  # the start page is Explore
    assert at.query_params["model"] == EENET8


def test_a_link_opens_a_card_and_the_other_pages_follow(root):
    copy(root, EENET8, "mnist/second")
    at = open_page(model="mnist/second")
    assert drawn(at)["name"] == "mnist/second" and not at.warning
    assert at.session_state["view"].model == "mnist/second"
    at.switch_page("../pages/explore.py").run()
    assert at.selectbox(key="network").value == "mnist/second"


def test_a_plain_network_has_a_card_too_and_leaves_the_view_alone(root):
    at = open_page(model=RESNET8)
    assert not at.exception and not at.warning
    data = drawn(at)
    assert data["name"] == RESNET8 and len(data["exits"]) == 1
    assert "ResNet-8 on MNIST" in pages_html(at) and "no early exit" in pages_html(at)
    assert not at.get("page_link")
    titles = [note["text"] for note in json.loads(at.get("plotly_chart")[0].proto.spec)["layout"]["annotations"]]
    assert titles == ["loss", "right on training images, %", "seconds an epoch"]
    assert at.session_state["view"].model == EENET8  # as the other pages had it


def test_the_plain_counterpart_is_a_door(root):
    at = open_page()
    at.button(key="models_Without exits").click().run()
    assert drawn(at)["name"] == RESNET8
    assert dict(at.query_params) == {"model": RESNET8}


def test_a_missing_history_and_trace_are_one_quiet_line_each(root):
    for file in ("history.jsonl", "trace-test.npz"):
        (root / EENET8 / file).unlink()
    at = open_page(model=EENET8)
    assert not at.exception and not at.error and not at.warning
    assert "No training history lies in its folder." in captions(at)
    assert "No test trace: run python -m core trace mnist/eenet8" in captions(at).replace("\\", "")
    assert not at.get("plotly_chart")
    assert table(at)["full"].notna().all() and table(at)["best"].isna().tolist() == [True, True]  # cards know the rest


def test_a_broken_history_is_one_line(root):
    (root / EENET8 / "history.jsonl").write_text("{")
    at = open_page(model=EENET8)
    assert not at.exception and "history.jsonl" in captions(at).replace("\\", "")


@pytest.mark.parametrize(
    "recipe",
    [
        {"source": "somewhere <b>else</b>", "epochs": None},
        {"source": "somewhere <b>else</b>", "seed": 10**400, "training_seconds": "long", "parent": ["x"], "loss": 3},
    ],
)
def test_a_strange_recipe_is_told_as_it_is(root, recipe):
    card = json.loads((root / EENET8 / "card.json").read_text())
    card["recipe"] = recipe
    (root / EENET8 / "card.json").write_text(json.dumps(card))
    at = open_page(model=EENET8)
    assert not at.exception and not at.code
    assert "somewhere &lt;b&gt;else" in pages_html(at)
    at.query_params["show"] = "compare"
    at.query_params["compare"] = EENET8
    assert not at.run().exception


def test_broken_folders_are_named_with_their_reason(root):
    (root / "mnist/pickled").mkdir()
    (root / "mnist/pickled/model.pt").write_bytes(b"x")
    at = open_page(model="mnist/pickled")
    assert not at.exception
    (line,) = [error.value.replace("\\", "") for error in at.error]
    assert line == "mnist/pickled: expected card.json in pickled, got only model.pt: copy the whole folder"
    (warning,) = [warning.value.replace("\\", "") for warning in at.warning]
    assert "cannot be opened" in warning
    assert table(at)["name"].tolist() == [EENET8, RESNET8]
    assert "1 folder could not be opened" in top(at)[1]


def test_no_network_at_all_says_what_to_do(root):
    shutil.rmtree(root / "mnist")
    at = open_page()
    assert not at.exception
    assert at.title[0].value == "No network to explore yet"


def test_only_plain_networks_are_no_problem(root):
    shutil.rmtree(root / EENET8)
    at = open_page()
    assert not at.exception and not at.warning
    assert drawn(at)["name"] == RESNET8


def test_filters_and_budget(root):
    copy(root, EENET8, "mnist/eenet8-lambda-2", cost_weight=2.0)
    at = open_page()
    assert len(table(at)) == 3
    at.get_by_key("zoo_plain").set_value(False).run()
    assert table(at)["name"].tolist() == [EENET8, "mnist/eenet8-lambda-2"]
    at.get_by_key("zoo_families").set_value(["lambda"]).run()
    assert table(at)["name"].tolist() == ["mnist/eenet8-lambda-2"]
    at.get_by_key("zoo_most").set_value(0.2).run()
    assert table(at)["best"].isna().all()
    assert "none answers MNIST for at most 20 % of its computation" in top(at)[0]
    at.get_by_key("zoo_unit").set_value("macs").run()
    at.get_by_key("zoo_macs").set_value(0.4).run()
    assert table(at)["best"].notna().all() and "0.4 M MACs" in top(at)[0]
    at.get_by_key("zoo_families").set_value(["depth"] if "depth" in at.get_by_key("zoo_families").options else []).run()
    assert not at.exception


def test_networks_side_by_side(root):
    at = open_page(compare=f"{EENET8},{RESNET8},x/y", show="compare")
    assert not at.exception
    (warning,) = [warning.value.replace("\\", "") for warning in at.warning]
    assert "'x/y'" in warning
    figure = json.loads(at.get("plotly_chart")[0].proto.spec)
    assert [line["name"] for line in figure["data"]] == [
        f"{EENET8}, {'learned confidence' if 'confidence' in figure['data'][0]['name'] else 'largest probability'}",
        f"{RESNET8}, without exits",
    ]
    beside = at.dataframe[1].value
    assert beside.columns.tolist() == [EENET8, RESNET8]
    assert beside.loc["MACs without exits"].tolist() == ["648,528", "648,528"]
    assert beside.loc["started from"].tolist() == ["fresh weights", "fresh weights"]
    assert not at.run().warning  # said once
    assert at.query_params["compare"] == f"{EENET8},{RESNET8}"


def test_seeds_of_one_recipe_are_chance(root):
    copy(root, EENET8, "mnist/other-seed", seed=1)
    copy(root, EENET8, "mnist/longer", seed=2, epochs=99)
    at = open_page(show="chance")
    assert not at.exception
    (words,) = [text.value for text in at.markdown if "seeds of one recipe" in text.value]
    assert words.startswith("2 seeds") and "± 0.00 %" in words  # the same weights twice
    assert at.dataframe[1].value["network"].tolist() == [EENET8, "mnist/other-seed", "mean", "± standard deviation"]
    assert "No recipe of these networks" in captions(open_page_without_seeds(root))


def open_page_without_seeds(root):
    shutil.rmtree(root / "mnist/other-seed")
    return open_page(show="chance")


def test_what_is_not_trained_yet_has_a_command_and_no_promise(root, monkeypatch):
    few = {name: zoo_table.planned()[name] for name in (EENET8, "mnist/eenet8-pool", "cifar10/eenet20")}
    monkeypatch.setattr(zoo_table, "planned", lambda: few)  # counting the MACs of all of them takes long
    at = open_page(show="planned")
    lines = at.dataframe[1].value
    assert lines["network"].tolist() == ["mnist/eenet8-pool", "cifar10/eenet20"]
    assert "minutes" not in lines
    command = lines.set_index("network").loc["cifar10/eenet20", "command"]
    assert command == "python -m core zoo --train --only cifar10/eenet20"
    at.button(key="models_time").click().run()
    assert not at.exception and (at.dataframe[1].value["minutes"] > 0).all()


@pytest.mark.parametrize("parameters", [{"show": "<b>"}, {"model": "x/y"}, {"compare": ",,x"}, {"zoo_most": "abc"}])
def test_a_bad_link_is_one_line_and_a_page(root, parameters):
    at = open_page(**parameters)
    assert not at.exception
    assert len(at.warning) <= 1 and all("expected" in line.value for line in at.warning)
    assert drawn(at)["name"] == EENET8


def test_on_a_stage_only_the_card_is_left(root):
    at = open_page(present="1")
    assert not at.exception and not at.dataframe
    assert drawn(at)["present"] is True


def test_a_zip_becomes_a_network_and_a_bad_one_a_line(root):
    data = pack(EENET8, root)
    shutil.rmtree(root / EENET8)
    at = open_page()
    at.file_uploader(key="models_upload").upload("x.zip", data, "application/zip").run()
    assert [line.value.replace("\\", "") for line in at.success] == [f"{EENET8} is in the table now"]
    assert EENET8 in table(at)["name"].tolist()
    at = open_page()
    at.file_uploader(key="models_upload").upload("x.zip", data, "application/zip").run()
    assert "there already" in at.error[0].value
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../evil/card.json", "{}")
    at.file_uploader(key="models_upload").upload("y.zip", buffer.getvalue(), "application/zip").run()
    assert not at.exception and "expected files DATASET/MODEL/NAME" in at.error[0].value.replace("\\", "")
    assert sorted(path.name for path in root.iterdir()) == ["mnist"]


def test_a_folder_that_changes_is_read_again(root):
    at = open_page()
    before = table(at)["full"].tolist()
    card = json.loads((root / RESNET8 / "card.json").read_text())
    card["title"] = "Renamed"
    (root / RESNET8 / "card.json").write_text(json.dumps(card))
    copy(root, EENET8, "mnist/new")
    at.run()
    assert table(at)["name"].tolist() == [EENET8, "mnist/new", RESNET8]
    assert table(at)["title"].tolist()[2] == "Renamed" and table(at)["full"].tolist()[0] == before[0]


def test_the_page_needs_no_torch():
    program = (
        "import sys; from streamlit.testing.v1 import AppTest; "
        "at = AppTest.from_file('app/main.py', default_timeout=60).run(); "
        "at.switch_page('../pages/models.py').run(); "
        "sys.exit(1 if at.exception else 2 if 'torch' in sys.modules else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0
