"""Challengers of the tests' champion: its image with another model version in it, and one thing wrong with it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from bentos.core.artifact import write_artifact
from tests.e2e.cluster.images import Images
from tests.e2e.cluster.node import Cluster
from tests.fraud.artifacts import CARD, forest_contents
from tests.fraud.server import ROOT

__all__ = ["CHALLENGERS", "build_challengers", "tag_of"]

_SCORER: Final = "bentos/fraud/scorer.py"
_PREDICTOR: Final = "bentos/fraud/predictor.py"
#: What is appended to which file of the image, by the challenger's name.
CHALLENGERS: Final[dict[str, tuple[str, str]]] = {
    "good": (_SCORER, ""),
    "slow": (
        _SCORER,
        """
_score = Scorer.score


def _slowly(self, rows):
    import time

    time.sleep(0.08)
    return _score(self, rows)


Scorer.score = _slowly
""",
    ),
    "shifted": (
        _SCORER,
        """
_score = Scorer.score


def _shifted(self, rows):
    raw, score = _score(self, rows)
    return raw, np.minimum(1.0, 0.25 + score)


Scorer.score = _shifted
""",
    ),
    "failing": (
        _PREDICTOR,
        """
_predict = Predictor.predict
_calls = iter(range(1 << 62))


async def _fails(self, *arguments, **named):
    if next(_calls) % 5 == 0:
        raise RuntimeError("broken on purpose")
    return await _predict(self, *arguments, **named)


Predictor.predict = _fails
""",
    ),
    "crashing": (_SCORER, "\nraise SystemExit(1)\n"),
}


def tag_of(images: Images, name: str) -> str:
    """Of a challenger's image."""
    return f"{images.tag}-{name}"


def build_challengers(cluster: Cluster, images: Images, folder: Path) -> None:
    """Build them upon the champion's image, a small layer each, and bring them onto the nodes that lack them."""
    if os.environ.get("FRAUD_E2E_IMAGES_LOADED") == "1":
        return
    names = []
    for number, (name, (path, fault)) in enumerate(CHALLENGERS.items()):
        context = folder / name
        card = CARD.model_copy(update={"version": str(100 + number), "mlflow_model_version": str(100 + number)})
        write_artifact(context / "artifact", forest_contents(card=card), private_key=None)
        (context / "changed.py").write_text((ROOT / path).read_text() + fault)
        # The image's bytecode was compiled ahead, and does not look at its source.
        cached = f"{Path(path).parent}/__pycache__/{Path(path).stem}.*"
        (context / "Dockerfile").write_text(
            f"FROM {images.scoring}\n"
            "COPY artifact/ /opt/bento/src/artifact/\n"
            f"COPY changed.py /opt/bento/src/{path}\n"
            "USER 0\n"
            f"RUN rm -f /opt/bento/src/{cached}\n"
            "USER 10001:10001\n"
        )
        names.append(f"{images.prefix}/fraud-scoring:{tag_of(images, name)}")
        cluster.build(names[-1], str(context))
    cluster.load(names)
