"""Lots: the same for whoever draws, a share of all, and nobody's to guess."""

from __future__ import annotations

from bentos.core.lots import Lots

IDS = [f"t-{number}" for number in range(20_000)]


def test_a_share_is_drawn_and_a_larger_one_has_it_all() -> None:
    lots = Lots("secret", "test")
    drawn = {share: {name for name in IDS if lots.drawn(name, share)} for share in (0.0, 0.05, 0.5, 1.0)}
    assert not drawn[0.0]
    assert drawn[0.05] < drawn[0.5] < drawn[1.0] == set(IDS)
    # Five standard deviations of what chance would give.
    assert abs(len(drawn[0.05]) - 1000) < 155
    assert abs(len(drawn[0.5]) - 10_000) < 354


def test_the_same_by_whoever_draws() -> None:
    one, other = Lots("secret", "test"), Lots("secret", "test")
    assert [one.drawn(name, 0.1) for name in IDS[:500]] == [other.drawn(name, 0.1) for name in IDS[:500]]


def test_other_secrets_and_purposes_draw_others() -> None:
    drawn = [
        {name for name in IDS if Lots(secret, purpose).drawn(name, 0.5)}
        for secret, purpose in (("", "test"), ("secret", "test"), ("secret", "other"))
    ]
    for index, one in enumerate(drawn):
        for other in drawn[index + 1 :]:
            assert abs(len(one & other) - 5000) < 307


def test_any_text_has_its_lot() -> None:
    assert Lots("", "test").drawn("\ud800", 1.0)
