"""A real registry with models, a played cluster with its release, and a stand-in for what builds images."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from bentos.core.registered import MODEL_NAME
from bentos.core.settings import TrainingSettings
from k8s.release.attempts import NOTED
from tests.k8s.rollout.controller.conftest import api, cluster, world  # noqa: F401 - fixtures
from tests.k8s.rollout.controller.world import QUICK, World
from tests.training.registry.conftest import mlflow_tables, settings, table  # noqa: F401 - fixtures
from tests.training.registry.standins import train_and_record
from training.registry.client import connect
from training.registry.promotion import promote
from training.registry.versions import Version, resolve

PREFIX = "registry.example/fraud"
RELEASE = ["release", "--release", "fraud", "--prefix", PREFIX, "--push"]


@dataclass
class Bench:
    """What a release works with.

    Parameters
    ----------
    world
        The release, and its controller.
    settings
        Of the registry.
    engine
        Folder of the images.
    """

    world: World
    settings: TrainingSettings
    engine: Path
    train: Callable[[float], Any]
    plan: Path
    _stop: threading.Event = field(default_factory=threading.Event)

    def version(self, name: str) -> Version:
        """A version of the registry."""
        return resolve(connect(self.settings), name)

    def aliases(self) -> dict[str, str]:
        """Of the registered model."""
        found = connect(self.settings).client.get_registered_model(MODEL_NAME).aliases
        return {name: str(number) for name, number in found.items()}

    def name(self, alias: str, number: str) -> None:
        """Give a version an alias, as a person does."""
        connect(self.settings).client.set_registered_model_alias(MODEL_NAME, alias, number)

    def tag(self, number: str, name: str, value: str) -> None:
        """Set a version's tag."""
        connect(self.settings).client.set_model_version_tag(MODEL_NAME, number, name, value)

    def result(self, number: str) -> tuple[str, bool]:
        """How a version's rollout ended by its tags, and whether all of it is written down."""
        tags = self.version(number).tags
        return tags.get("fraud.rollout_result", ""), NOTED in tags

    def done(self) -> list[str]:
        """What the engine did: build or push, and the image."""
        path = self.engine / "done"
        return path.read_text().splitlines() if path.is_file() else []

    def has_image(self, number: str) -> str:
        """Let a version's image be in the registry; its tag."""
        from k8s.release.image import ImageMaker
        from k8s.release.registry import ModelVersion

        version = self.version(number)
        maker = ImageMaker(PREFIX, True, "", self.settings.home)
        tag = maker.tag(ModelVersion(version.number, version.run_id, version.tags))
        (self.engine / "registry" / f"{PREFIX}_fraud-scoring:{tag}".replace("/", "_")).write_text("there")
        return tag

    def control(self) -> None:
        """Be the controller from now on, until the test's end."""

        def look() -> None:
            while not self._stop.wait(0.02):
                self.world.controller.tick()

        threading.Thread(target=look, daemon=True).start()

    def stop(self) -> None:
        """Be it no more."""
        self._stop.set()


@pytest.fixture
def bench(
    world: World,  # noqa: F811 - the fixture
    settings: TrainingSettings,  # noqa: F811
    table: pd.DataFrame,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Bench]:
    """Champion is version 1, challenger version 2."""
    engine = tmp_path / "engine"
    for name in ("here", "registry"):
        (engine / name).mkdir(parents=True)
    program = tmp_path / "bin" / "podman"
    program.write_text((Path(__file__).parent / "engine.py").read_text())
    program.chmod(0o755)
    monkeypatch.setenv("IMAGE_BUILDER", "podman")
    monkeypatch.setenv("ENGINE", str(engine))
    monkeypatch.setenv("FRAUD_HOME", str(settings.home))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[3])]))
    for name in ("MLFLOW_TRACKING_URI", "FRAUD_RECORDS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("k8s.release.following._SECONDS", 0.02)
    plan = tmp_path / "plan.yaml"
    plan.write_text(yaml.safe_dump(QUICK.model_dump(mode="json")))
    bench = Bench(
        world, settings, engine, lambda strength: train_and_record(settings, table, tmp_path, strength=strength), plan
    )
    bench.train(1.0)
    promote(settings)
    bench.train(1.0)
    yield bench
    bench.stop()
