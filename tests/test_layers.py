"""Data flows one way: core knows nothing of the dashboard, and what Explore needs of core works without torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = sorted((ROOT / "core").rglob("*.py"))
DASHBOARD = {"streamlit", "plotly", "app", "pages"}
WITHOUT_TORCH = (
    "core.checkpoints",
    "core.feature_map",
    "core.trace",
    "core.analysis.sweep",
    "core.analysis.robustness",
    "core.data.embedded",
    "core.data.decode",
    "core.data.corruptions",
)


def imported(path: Path) -> set[str]:
    """Top-level names of everything a module imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add((node.module or "").split(".")[0])
    return names


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_core_does_not_import_the_dashboard(path):
    assert not imported(path) & DASHBOARD


@pytest.mark.parametrize("folder", ["analysis"])
def test_analysis_does_not_import_torch(folder):
    for path in (ROOT / "core" / folder).glob("*.py"):
        assert "torch" not in imported(path), path.name


def test_what_the_first_page_needs_loads_without_torch():
    program = f"import sys, {', '.join(WITHOUT_TORCH)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0
