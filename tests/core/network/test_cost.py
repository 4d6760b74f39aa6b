"""Where exits fall and what they cost, against values computed with the paper's code."""

import json
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn

from core.errors import UserError
from core.network.cost import CostTable
from core.network.counting import chain_macs, count_macs
from core.network.registry import NetworkSpec, build_network

DATA = Path(__file__).parents[2] / "data"
ROWS = json.loads((DATA / "exit_costs.json").read_text())


def spec_of(row: dict[str, object]) -> NetworkSpec:
    placement = {"gold_ratio": "golden"}.get(str(row["distribution"]), str(row["distribution"]))
    return NetworkSpec(
        row["model"],
        row["num_ee"],
        placement,
        row["exit_type"],
        tuple(row["input_shape"]),
        row["num_classes"],
        "features",
    )


@cache
def cost_of(spec: NetworkSpec) -> CostTable:
    return build_network(spec)[1]


@pytest.mark.parametrize(
    "row", ROWS, ids=lambda row: "-".join(str(row[k]) for k in ("model", "num_ee", "distribution", "exit_type"))
)
def test_reference_exits_and_costs(row: dict[str, object]) -> None:
    spec = spec_of(row)
    if "error" in row:
        with pytest.raises(UserError, match="expected at most"):
            build_network(spec)
        return
    cost = cost_of(spec)
    assert list(cost.exit_after) == row["blocks_before_exit"]
    assert cost.relative("paper")[:-1] == pytest.approx(row["relative_cost"], abs=1e-3)
    assert cost.plain_macs == row["total_macs"]


def test_the_reference_has_rows_of_each_kind() -> None:
    assert len(ROWS) == 62
    assert {row["exit_type"] for row in ROWS} == {"pool", "bnpool"}
    assert sum("error" in row for row in ROWS) == 1


def test_both_accountings_by_hand() -> None:
    cost = CostTable(block_macs=(10, 20, 30, 40), exit_macs=(5, 7), final_macs=0, exit_after=(1, 2))
    assert cost.plain_macs == 100
    assert cost.macs("executed") == (35, 72, 112)
    assert cost.macs("paper") == (35, 67, 100)
    assert cost.relative() == (0.35, 0.72, 1.12)
    with pytest.raises(ValueError, match="accounting is one of"):
        cost.macs("free")


def test_macs_by_hand() -> None:
    image = torch.zeros(1, 3, 8, 8)
    assert count_macs(nn.Conv2d(3, 4, 3, padding=1, bias=False), image) == 3 * 4 * 9 * 64
    assert count_macs(nn.ReLU(), image) == 3 * 64
    assert count_macs(nn.MaxPool2d(2), image) == 3 * 64
    assert count_macs(nn.Linear(7, 5), torch.zeros(1, 7)) == 35


def test_counting_keeps_the_mode() -> None:
    block = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).train()
    macs, features = chain_macs([block], torch.zeros(1, 3, 8, 8))
    assert block.training
    assert len(macs) == 1
    assert features.shape == (1, 4, 6, 6)
    assert not block[1].num_batches_tracked.any()
