"""The artifact: a folder that training exports and serving verifies, byte for byte, before it uses any of it.

``manifest`` is its index, ``card`` says where the model comes from, ``distributions`` what its training rows looked
like; ``writer`` and ``reader`` are the only ways in and out.
"""

from bentos.core.artifact.card import ModelCard, Thresholds, TrainingPeriod
from bentos.core.artifact.categories import Categories, reference_categories
from bentos.core.artifact.distributions import Distributions, Histogram, reference_histogram
from bentos.core.artifact.manifest import KINDS, Manifest
from bentos.core.artifact.reader import Artifact, read_artifact
from bentos.core.artifact.signature import decode_key, generate_keys
from bentos.core.artifact.stability import population_stability_index
from bentos.core.artifact.writer import ArtifactContents, write_artifact

__all__ = [
    "KINDS",
    "Artifact",
    "ArtifactContents",
    "Categories",
    "Distributions",
    "Histogram",
    "Manifest",
    "ModelCard",
    "Thresholds",
    "TrainingPeriod",
    "decode_key",
    "generate_keys",
    "population_stability_index",
    "read_artifact",
    "reference_categories",
    "reference_histogram",
    "write_artifact",
]
