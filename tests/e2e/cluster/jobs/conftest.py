"""A release for the tests of Jobs, and data beside it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.cluster.images import Images
from tests.e2e.cluster.jobs.beside import NAMESPACE, RELEASE, on_volume
from tests.e2e.cluster.node import Cluster
from tests.e2e.cluster.releases import install, local_values, restricted_namespace, stand_ins, writable_volumes

#: Makes the data of all tests on the volume.
_PREPARE = """
import pathlib, subprocess, sys
import pyarrow.parquet as pq
place = pathlib.Path("/data/payments")
rows = ["--rows", "6000", "--seed", "0", "--output", str(place / "transactions.parquet")]
subprocess.run([sys.executable, "-m", "training", "generate", *rows], check=True)
tree = "name: tiny\\nestimator: sklearn.ensemble.RandomForestClassifier\\nparameters: {n_estimators: 10}\\n"
(place / "tiny.yaml").write_text(tree + "calibration_folds: 2\\n")
table = pq.read_table(place / "transactions.parquet").drop_columns(["is_fraud", "label_timestamp"])
for day in range(4):
    path = place / f"days/day={day}/part.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(table.slice(day * 500, 500), path)
"""


@pytest.fixture(scope="package", autouse=True)
def release(cluster: Cluster, images: Images) -> Iterator[None]:
    """A release with Redis, PostgreSQL and MLflow, and a volume with transactions beside it."""
    stand_ins(cluster)
    values = local_values(images) | {part: {"enabled": False} for part in ("dashboard", "monitoring")}
    with restricted_namespace(cluster, NAMESPACE), writable_volumes():
        install(cluster, RELEASE, NAMESPACE, values)
        claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        cluster.kubectl(
            "create",
            manifest={
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": "payments"},
                "spec": claim,
            },
            namespace=NAMESPACE,
        )
        on_volume(cluster, _PREPARE)
        yield
