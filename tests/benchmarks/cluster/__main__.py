"""What clients of a release notice while it is changed: ``python -m tests.benchmarks.cluster``.

Installs the local profile on a real cluster, behind its gateway, and sends HTTP and gRPC requests at a steady rate from
within the cluster's network through each change. Needs images, those of ``make images`` as a rule; the cluster is found
as tests/e2e/cluster/conftest.py says. The cluster's node is this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.cluster.footprint import measure_install, measure_pod
from tests.benchmarks.cluster.page import write_page
from tests.benchmarks.cluster.release import GATEWAY, NAMESPACE, Release
from tests.benchmarks.cluster.rows import ROWS, Bench
from tests.benchmarks.cluster.sending import LATE_MILLISECONDS
from tests.e2e.cluster.images import Images
from tests.e2e.cluster.node import find_cluster
from tests.e2e.cluster.releases import local_values, restricted_namespace, stand_ins, writable_volumes

#: Parts of the local profile that a transaction does not pass.
BESIDE = {part: {"enabled": False} for part in ("dashboard", "mlflow", "monitoring")}


def main() -> None:
    """Measure the rows that are asked for, and keep what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", help=f"which ones; all when none is named: {', '.join(ROWS)}")
    parser.add_argument("--prefix", default="localhost", help="of the images")
    parser.add_argument("--tag", default="0.1.0", help="of the images")
    parser.add_argument("--rate", type=float, help="requests a second of each protocol (together a third of capacity)")
    parser.add_argument("--least", type=int, default=20_000, help="requests of each protocol in a row")
    parser.add_argument("--load", action="store_true", help="bring the images onto the node first")
    parser.add_argument("--install", action="store_true", help="measure the whole profile's installation first")
    parser.add_argument("--keep", type=Path, default=Path("var/benchmarks/cluster.json"), help="what was measured")
    parser.add_argument("--write", action="store_true", help="measure nothing; docs/cluster_load.md from what was")
    given = parser.parse_args()
    told: dict[str, Any] = json.loads(given.keep.read_text()) if given.keep.exists() else {"rows": {}}
    if given.write:
        write_page(told)
        return
    told["about"] = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{os.cpu_count()} cores, Linux {platform.release().partition('-')[0]}",
    }
    cluster = find_cluster()
    images = Images(given.prefix, given.tag)
    if given.load:
        stand_ins(cluster)
        cluster.load(images.names)

    def keep() -> None:
        given.keep.parent.mkdir(parents=True, exist_ok=True)
        given.keep.write_text(json.dumps(told, indent=2))

    values = local_values(images) | {
        "scoring": {
            "expose": {"kind": "gateway", "gateway": GATEWAY},
            # As much as lets four pods stand on two cores.
            "resources": {"requests": {"cpu": "300m", "memory": "384Mi"}, "limits": {"memory": "1Gi"}},
        }
    }
    values["global"]["settings"] = {"deadline_milliseconds": LATE_MILLISECONDS}
    with writable_volumes():
        if given.install:
            with restricted_namespace(cluster, NAMESPACE):
                told["install"] = measure_install(cluster, values)
                print(told["install"], flush=True)
                keep()
        with restricted_namespace(cluster, NAMESPACE):
            release = Release(cluster, values | BESIDE)
            release.install()
            bench = Bench(release, given.least)
            bench.find_capacity(given.rate)
            told["capacities"], told["rates"] = bench.capacities, bench.rates
            told["pod"] = measure_pod(release, images)
            print(bench.capacities, bench.rates, told["pod"], flush=True)
            keep()
            for name in given.rows or ROWS:
                told["rows"][name] = ROWS[name](bench)
                # What was kept before may have been measured at others.
                told.setdefault("row_rates", {})[name] = dict(bench.rates)
                print(name, json.dumps(told["rows"][name]), flush=True)
                keep()


if __name__ == "__main__":
    main()
