"""What the benchmark compares is the same thing, and the numpy half stays free of torch."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from core.analysis.sweep import exact_sweep
from core.benchmarks import sweep as benchmark

ROOT = Path(benchmark.__file__).parents[2]


def test_the_grid_agrees_with_the_exact_curve():
    arrays = benchmark.synthetic_trace(500, 4)
    exact = exact_sweep(*arrays)
    thresholds, accuracy, cost = benchmark.grid_sweep(*arrays)
    for k, threshold in enumerate(thresholds):
        point = exact.at(float(threshold))
        assert point.accuracy == accuracy[k] and np.isclose(point.relative_cost, cost[k], rtol=1e-12)


def test_times_are_plain_numbers():
    times = benchmark.time_small(repeats=1)
    assert times["exact_ms"] > 0 and times["grid_101_ms"] > 0 and times["rows"] > 1000


def test_the_numpy_half_never_imports_torch():
    modules = "trace analysis.policy analysis.thresholds analysis.calibration analysis.uncertainty benchmarks.sweep"
    code = "import sys;" + ";".join(f"import core.{name}" for name in modules.split())
    code += ";sys.exit('torch' in sys.modules or 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0
