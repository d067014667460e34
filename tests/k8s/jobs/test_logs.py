"""Lines of logs, however they come in pieces."""

from __future__ import annotations

import numpy as np

from k8s.jobs.logs import lines

TEXT = (
    "2026-05-01T00:00:00.000000001Z first\n"
    "2026-05-01T00:00:00.000000002Z \n"
    "2026-05-01T00:00:00.000000003Z 10 %\r20 %\r30 %\r\n"
    "2026-05-01T00:00:00.000000004Z \x1b[31mred\x1b[0m é\tend\n"
    "2026-05-01T00:00:00.000000005Z last, without an end"
)


def test_lines_come_whole_whatever_the_pieces() -> None:
    data, made = TEXT.encode(), np.random.default_rng(0)
    for _ in range(50):
        cuts = sorted(made.choice(np.arange(1, len(data)), 5, replace=False).tolist())
        pieces = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
        found = list(lines(iter(pieces)))
        assert [time[-3:] for time, _ in found] == ["01Z", "02Z", "03Z", "04Z", "05Z"]
        assert [text for _, text in found] == ["first", "", "30 %", "[31mred[0m é\tend", "last, without an end"]
