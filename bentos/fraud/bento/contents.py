"""The image of a bento: pinned requirements, and the champion's artifact and snapshot beside the code.

BentoML copies files from the folder it builds in, and links as links. The champion lies elsewhere, behind a link that
may switch at any time; so its files are put into the bento by the image, which BentoML asks to write its own part.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Final

from bentoml.exceptions import BentoMLException
from bentoml.images import Image

import bentos
from bentos.core.artifact import read_artifact
from bentos.core.errors import FraudError
from bentos.core.settings import load_settings
from bentos.fraud.application import BENTO_ARTIFACT, BENTO_SNAPSHOT, artifact_folder, snapshot_file
from bentos.fraud.bento.requirements import serving_requirements
from bentos.fraud.settings import ScoringSettings

__all__ = ["BentoImage", "pack_champion"]

_PROJECT: Final = "src"


class BentoImage(Image):  # type: ignore[misc] # BentoML gives its lazy modules no types
    """Requirements from pyproject.toml and constraints.txt, model from the champion."""

    def freeze(self, bento_fs: Path, *args: Any, **options: Any) -> Any:
        """Write the image's part of a bento; see :meth:`bentoml.images.Image.freeze`."""
        try:
            settings = load_settings(ScoringSettings)
            root = Path(bentos.__file__).parent.parent
            wanted = serving_requirements(root, feast=settings.feature_store == "feast")
            self.python_requirements = "\n".join(wanted) + "\n"
            pack_champion(settings, bento_fs / _PROJECT)
        except (FraudError, OSError) as error:
            raise BentoMLException(f"the model cannot be put into the bento: {error}") from error
        # They are exact already, and resolving them again would ask the network.
        self.lock_python_packages = False
        return super().freeze(bento_fs, *args, **options)


def pack_champion(settings: ScoringSettings, target: Path) -> None:
    """Copy the artifact and the feature snapshot to be served, links followed, and verify the copy.

    Parameters
    ----------
    settings
        Say where they are.
    target
        Folder that gets ``artifact/`` and, if there is a snapshot, ``snapshot/``.

    Raises
    ------
    ArtifactError
        When there is no artifact, or the copy is not a whole one (a champion may be replaced meanwhile).
    """
    # Resolved once: artifact and snapshot are then of one champion, whatever the link does meanwhile.
    named = artifact_folder(settings)
    folder = named.parent.resolve() / named.name
    snapshot = snapshot_file(settings, folder)
    shutil.copytree(folder, target / BENTO_ARTIFACT)
    if snapshot is not None:
        (target / BENTO_SNAPSHOT).mkdir()
        shutil.copy(snapshot, target / BENTO_SNAPSHOT / f"features{snapshot.suffix or '.npz'}")
    read_artifact(target / BENTO_ARTIFACT, public_key=settings.signing_public_key)
