"""Gates: each judges a challenger by one kind of harm, and all of them together hold one false-alarm rate.

Every gate bets (:mod:`~k8s.rollout.gates.betting`) against two hypotheses: that the challenger is no worse than
tolerated, and that it is worse than the margin. It fails when the first falls, passes when the second does, and is
inconclusive until then, without data above all. Harm that is shown counts more than what was shown before it.

The rate of false alarms is shared evenly by all nine gates (Bonferroni), so that a good challenger is failed by any of
them with that probability at most. The rate of missed harm is each gate's own: a challenger that is bad by one gate has
to pass that one to advance.
"""

from __future__ import annotations

from k8s.rollout.gates.judge import calm, calmed, judge, label_gates, service_gates, spoken

__all__ = ["calm", "calmed", "judge", "label_gates", "service_gates", "spoken"]
