"""Components are put together from the files in app/components."""

import re

import pytest

from app import component

NAMES = sorted(path.stem for path in component._FILES.glob("*.css"))


@pytest.mark.parametrize("name", NAMES)
def test_a_component_is_one_module_with_all_it_imports(name):
    script = component.script(name)
    assert script.count("export default function mount(") == 1
    assert not re.search(r"^import |^export (?!default)", script, re.MULTILINE)
    own = component._read(f"{name}.js")
    for names, file in re.findall(r'^import \{([^}]*)\} from "\./(\w+)\.js";', own, re.MULTILINE):
        for imported in filter(None, (word.strip() for word in names.split(","))):
            assert re.search(rf"^(?:const|function) {imported}\b", script, re.MULTILINE), (imported, file)
            assert re.search(rf"\b{imported}\b", own.replace(names, "")), f"{imported} is imported for nothing"


@pytest.mark.parametrize("name", NAMES)
def test_a_component_finds_its_root(name):
    page = component._FILES / f"{name}.html"
    assert not page.is_file() or re.search(rf'class="[^"]*\b{name}\b', page.read_text(encoding="utf-8"))
