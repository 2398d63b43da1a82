"""Rules for names: exact names, globs, regular expressions."""

from __future__ import annotations

import re

import pytest

from collector.patterns import Pattern, any_matches


@pytest.mark.parametrize(
    ("text", "rank", "fits", "fits_not"),
    [
        ("shop", 0, ["shop"], ["Shop", "shop-api", "my-shop", ""]),
        ("shop-*", 1, ["shop-api", "shop-", "shop-a/b"], ["shop", "my-shop-api", "Shop-api"]),
        (
            "services/shop/*",
            1,
            ["services/shop/a.py", "services/shop/deep/b.py"],
            ["services/shop", "services/shops/a"],
        ),
        ("shop-[ab]?", 1, ["shop-a1", "shop-b\n"], ["shop-c1", "shop-a"]),
        ("/shop-(eu|us)/", 2, ["shop-eu", "shop-us"], ["shop-eu-2", "a-shop-eu", "/shop-eu/"]),
        ("/", 0, ["/"], ["", "a"]),
        ("shop.api", 0, ["shop.api"], ["shop-api"]),
    ],
)
def test_a_rule_fits_the_whole_name(text: str, rank: int, fits: list[str], fits_not: list[str]) -> None:
    """Exact, glob and expression are told apart by their text, and each is about the whole name, case included."""
    rule = Pattern(text)

    assert rule.rank == rank
    assert [n for n in fits if not rule.matches(n)] == []
    assert [n for n in fits_not if rule.matches(n)] == []


def test_a_broken_expression_is_an_error() -> None:
    """What is no regular expression fails where it is used, and is never taken for a name."""
    with pytest.raises(re.error):
        Pattern("/shop-(eu/").matches("shop-eu")


def test_no_rule_fits_nothing() -> None:
    """Without a rule no name fits."""
    assert not any_matches((), "")


def test_the_named_groups_of_an_expression_are_told() -> None:
    """`/deploy-(?P<service>.+)/` says which service a name is of; other rules say nothing but that they fit."""
    rule = Pattern("/deploy-(?P<service>.+?)(?P<rest>-x)?/")

    assert rule.groups("deploy-shop") == {"service": "shop"}
    assert rule.groups("build-shop") is None
    assert (Pattern("deploy-*").groups("deploy-shop"), Pattern("shop").groups("deploy-shop")) == ({}, None)
    assert sorted(rule.group_names) == ["rest", "service"]
    assert not Pattern("deploy-*").group_names
