from decimal import Decimal

import pytest
from django.template import Context, Template

FILTERS = ("usdc", "signed", "price", "shares", "percent")


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("holding", [{"quote": None}, {"quote": {"best_bid": None}}])
def test_a_figure_of_something_that_is_not_there_is_a_dash(name: str, holding: dict[str, object]) -> None:
    template = Template("{% load numbers %}{{ holding.quote.best_bid|" + name + " }}")
    assert "—" in template.render(Context({"holding": holding}))


@pytest.mark.parametrize(
    ("name", "shown"), [("usdc", "$0.00"), ("signed", "$0.00"), ("price", "0¢"), ("shares", "0"), ("percent", "0%")]
)
def test_nothing_is_a_figure_of_its_own(name: str, shown: str) -> None:
    template = Template("{% load numbers %}{{ figure|" + name + " }}")
    assert shown in template.render(Context({"figure": Decimal(0)}))


@pytest.mark.parametrize(
    ("held", "shown"),
    [("1234.50", "1,234.50"), ("100", "100"), ("0.004", "&lt;0.01"), ("-0.001", "&lt;0.01"), ("9.999", "10")],
)
def test_dust_is_not_shown_as_nothing(held: str, shown: str) -> None:
    assert Template("{% load numbers %}{{ figure|shares }}").render(Context({"figure": Decimal(held)})) == shown
