"""Templates of Jobs as the chart renders them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from k8s.jobs.release import Kind, Template
from tests.helm.charts import find, render

__all__ = ["template"]


def template(
    kind: Kind, values: Mapping[str, Any] | None = None, *, profile: str = "local", release: str = "fraud"
) -> Template:
    """The template of a kind, as a cluster would give it for a release of one profile."""
    objects = render(values, profile=profile, release=release)
    (found,) = [
        item
        for item in objects
        if item["kind"] == "PodTemplate" and item["metadata"]["labels"]["app.kubernetes.io/component"] == kind
    ]
    name = find(objects, "PodTemplate", found["metadata"]["name"])["metadata"]["name"]
    return Template(release, name.removesuffix(f"-{kind}"), found["template"])
