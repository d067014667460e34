"""Fixtures of the tests that need a real cluster, which ``make test-cluster`` asks for.

========================== ==================================================================================
variable                   meaning
========================== ==================================================================================
FRAUD_E2E_CLUSTER          1: run them; without it they are skipped, because images take minutes
KUBECONFIG                 the cluster to use; without it the shared one is started
FRAUD_SHARED_CLUSTER       command of the shared cluster; else the one beside FRAUD_SHARED_DATA
FRAUD_E2E_LOAD_COMMAND     brings images onto the nodes of KUBECONFIG, such as ``kind load docker-image``
FRAUD_E2E_INSIDE_COMMAND   runs a command in the network of KUBECONFIG; empty where this machine reaches it
FRAUD_E2E_IMAGE_PREFIX     before the images' names (localhost)
FRAUD_E2E_IMAGE_TAG        of the images (e2e)
FRAUD_E2E_IMAGES_LOADED    1: the nodes have them already; nothing is built or loaded
========================== ==================================================================================
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster.images import Images, build_images
from tests.e2e.cluster.node import Cluster, find_cluster
from tests.e2e.cluster.releases import restricted_namespace, writable_volumes


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything below this folder needs a cluster, and says so."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """A cluster that answers."""
    if os.environ.get("FRAUD_E2E_CLUSTER") != "1":
        pytest.skip("needs a cluster and minutes: run `make test-cluster`")
    return find_cluster()


@pytest.fixture(scope="session")
def images(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Images:
    """The three images, on the cluster's nodes."""
    images = Images(os.environ.get("FRAUD_E2E_IMAGE_PREFIX", "localhost"), os.environ.get("FRAUD_E2E_IMAGE_TAG", "e2e"))
    if os.environ.get("FRAUD_E2E_IMAGES_LOADED") != "1":
        build_images(images, cluster.environ, tmp_path_factory.mktemp("images"))
        cluster.load(images.names)
    return images


@pytest.fixture
def empty(cluster: Cluster) -> Iterator[str]:
    """A namespace of one test."""
    with restricted_namespace(cluster, "fraud-try") as name, writable_volumes():
        yield name
