"""Families are found by cards alone."""

from dataclasses import replace

import pytest

from core.checkpoints import Card
from core.data.preprocess import Preprocessing
from core.families import Family, lambda_families
from core.network.cost import CostTable
from core.network.spec import NetworkSpec

SPEC = NetworkSpec("eenet8", 2, "pareto", "pool", (1, 16, 16), 2)
RECIPE = {"loss": "cumulative", "method": "end-to-end", "epochs": 4, "seed": 0, "parent": "own/start"}


def card(weight, spec=SPEC, **recipe):
    preprocessing = Preprocessing(channels=1, size=16, mean=(0.5,), std=(0.5,))
    exits = spec.num_early_exits
    cost = CostTable((5, 5, 5, 5), (1,) * exits, 1, tuple(range(1, 1 + exits)))
    return Card("EENet-8", "own", spec, preprocessing, ("a", "b"), cost, RECIPE | {"cost_weight": weight} | recipe)


def test_members_differ_in_the_cost_weight_and_in_how_long_it_took():
    cards = {"own/c": card(2, training_seconds=3), "own/a": card(0.5), "own/b": card(0)}
    assert lambda_families(cards) == [Family((0.0, 0.5, 2.0), ("own/b", "own/a", "own/c"), "own/start")]
    (family,) = lambda_families(cards)
    assert family.member(0.5) == "own/a" and family.member(1.0) is None


@pytest.mark.parametrize(
    "other",
    [
        card(1, epochs=5),
        card(1, seed=1),
        card(1, loss="fused"),
        card(1, method="alive"),
        card(1, parent="own/other"),
        card(1, spec=replace(SPEC, exit_type="bnpool")),
        card(1, spec=replace(SPEC, num_early_exits=0)),
        card(1, method="refit"),
        card(True),
        card("1"),
        card(None),
        replace(card(1), dataset="others"),
        replace(card(1), class_names=("a", "c")),
    ],
)
def test_whoever_differs_in_more_is_no_member(other):
    cards = {"own/a": card(0), "own/b": other}
    assert lambda_families(cards) == []
    cards["own/c"] = card(1)
    assert [family.names for family in lambda_families(cards)] == [("own/a", "own/c")]


def test_one_member_is_no_family_and_a_copy_is_no_second_member():
    assert lambda_families({}) == []
    assert lambda_families({"own/a": card(1), "own/copy": card(1.0)}) == []
    cards = {"own/z": card(1), "own/copy": card(1.0), "own/b": card(0), "own/r0": card(0, seed=3),
             "own/r1": card(1, seed=3)}  # fmt: skip
    assert [family.names for family in lambda_families(cards)] == [("own/b", "own/copy"), ("own/r0", "own/r1")]
