"""What can be asked of a refit."""

import pytest

from core.errors import UserError
from core.refit_recipe import RefitRecipe, read_cost_weight


@pytest.mark.parametrize(("text", "value"), [("0", 0.0), ("-0", 0.0), ("0.7", 0.7), (" 1e3 ", 1000.0), ("1e6", 1e6)])
def test_a_cost_weight_is_read(text, value):
    assert read_cost_weight(text) == value
    assert str(read_cost_weight("-0")) == "0.0"


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "abc", "", "1,5", "1e7", "-inf", "x" * 500])
def test_a_bad_cost_weight_is_one_line(text):
    with pytest.raises(UserError, match="expected a cost weight from 0 to 1,000,000, got") as raised:
        read_cost_weight(text)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 150


@pytest.mark.parametrize("bad", [{"loss": "v9"}, {"exit_type": "plain"}, {"cost_weight": float("nan")}])
def test_a_bad_recipe_is_one_line(bad):
    with pytest.raises(UserError, match="expected a"):
        RefitRecipe(**{"cost_weight": 1.0} | bad)


def test_a_kept_refit_is_named_after_what_made_it():
    assert RefitRecipe(0.7).suffix == "refit-cumulative-0.7"
    assert RefitRecipe(2.0, "fused", "bnpool").suffix == "refit-fused-2-bnpool"
    assert RefitRecipe(1.0, "unweighted").suffix == "refit-unweighted"
