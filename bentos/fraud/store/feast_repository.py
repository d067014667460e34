"""Writes a Feast repository: what `feast apply` needs to know of the features, made from their definitions."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal

from bentos.core.errors import ConfigError
from bentos.core.features.clock import DAY, SECOND
from bentos.core.features.definitions import FEATURE_SCHEMA, FEATURES
from bentos.core.features.history import KINDS
from bentos.fraud.store.feast_views import NOTES, ON_DEMAND, REQUEST, SCHEMA_TAG, SECRET_TAG, VIEWS, Field, View

__all__ = ["DEFINITIONS_FILE", "SETTINGS_FILE", "OnlineStore", "definitions_text", "settings_text", "write_repository"]

OnlineStore = Literal["sqlite", "redis"]
SETTINGS_FILE: Final = "feature_store.yaml"
DEFINITIONS_FILE: Final = "fraud_features.py"
#: As Redis of our own does: what windows need is this old at most.
_LIFE_DAYS: Final = max(kind.horizon for kind in KINDS) // DAY + 2
_ONLINE: Final[dict[OnlineStore, str]] = {
    "sqlite": """\
  type: sqlite
  # One file for the workers of one machine.
  path: online_store.db
""",
    "redis": f"""\
  type: redis
  # host:port, then what the client takes; ${{NAME}} is replaced from the environment, for a password.
  # Without retry=null a server that is away holds up each call for seconds.
  connection_string: 127.0.0.1:6379,db=0,socket_timeout=1,socket_connect_timeout=1,retry=null
  # Seconds without a write after which a key is forgotten: no window reaches further back.
  key_ttl_seconds: {_LIFE_DAYS * DAY // SECOND}
  # The service writes after it has read; comparing times once more would cost a round trip a view.
  skip_dedup: true
""",
}


def settings_text(project: str, online: OnlineStore) -> str:
    """Text of feature_store.yaml."""
    return f"""\
# Made by `python -m bentos.fraud feast repository`; where the stores are is yours to change.
project: {project}
provider: local
registry: registry.db
online_store:
{_ONLINE[online]}offline_store:
  type: file
entity_key_serialization_version: 3
"""


def definitions_text(fingerprint: str) -> str:
    """Text of the Python file with entities, push sources and feature views.

    Parameters
    ----------
    fingerprint
        Of the secret that hashes the keys; a service with another refuses the views.
    """
    return "\n\n".join([_head(fingerprint), *map(_definition, (*VIEWS.values(), NOTES)), _on_demand()])


def _head(fingerprint: str) -> str:
    return f'''\
"""The fraud service's features in Feast. Made by `python -m bentos.fraud feast repository`; make it anew, edit nothing.

Keys are pseudonyms: `python -m bentos.fraud feast key --customer ID` prints one.
"""

from datetime import timedelta

from feast import Entity, FeatureView, Field, FileSource, PushSource, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Bytes, Float64, Int64, UnixTimestamp
from feast.value_type import ValueType

TAGS = {{
    "{SCHEMA_TAG}": "{FEATURE_SCHEMA}",
    "{SECRET_TAG}": "{fingerprint}",
}}
'''


def _definition(view: View) -> str:
    return f"""\
{view.entity} = Entity(
    name={_text(view.entity)},
    join_keys=[{_text(view.join_key)}],
    value_type=ValueType.STRING,
)
{view.push_source} = PushSource(
    name={_text(view.push_source)},
    batch_source=FileSource(
        name={_text(view.name + "_file")},
        path={_text(f"data/{view.name}.parquet")},
        timestamp_field="event_timestamp",
    ),
)
{view.name} = FeatureView(
    name={_text(view.name)},
    description={_text(view.description)},
    entities=[{view.entity}],
    ttl=timedelta(days={_LIFE_DAYS}),
    schema=[
{_fields(view.fields)}
    ],
    source={view.push_source},
    tags=TAGS,
)
"""


def _on_demand() -> str:
    sources = "".join(f"        {view.name}[[{_text(view.state)}]],\n" for view in VIEWS.values())
    # Without descriptions: Feast runs the function once and refuses fields that differ from what it infers.
    features = "\n".join(f"        Field(name={_text(feature.name)}, dtype=Float64)," for feature in FEATURES)
    return f"""\
transaction = RequestSource(
    name="transaction",
    schema=[
{_fields(REQUEST)}
    ],
)


@on_demand_feature_view(
    sources=[
{sources}        transaction,
    ],
    schema=[
{features}
    ],
    mode="python",
    description="The features that the fraud service scores a transaction with, for one that is not recorded.",
    tags=TAGS,
)
def {ON_DEMAND}(inputs):
    from bentos.fraud.store.feast_features import transaction_features as compute

    return compute(inputs)
"""


def _fields(fields: Iterable[Field]) -> str:
    return "\n".join(
        f"        Field(name={_text(field.name)}, dtype={field.type}, description={_text(field.description)}),"
        for field in fields
    )


def _text(words: str) -> str:
    return json.dumps(words, ensure_ascii=False)


def write_repository(folder: Path, fingerprint: str, project: str, online: OnlineStore) -> list[Path]:
    """Write the repository's files; returns them. Settings that are there stay: where the stores are is the team's.

    Raises
    ------
    ConfigError
        When the folder cannot be written.
    """
    settings, definitions = folder / SETTINGS_FILE, folder / DEFINITIONS_FILE
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not settings.exists():
            settings.write_text(settings_text(project, online), encoding="utf-8")
            written.append(settings)
        definitions.write_text(definitions_text(fingerprint), encoding="utf-8")
        written.append(definitions)
    except OSError as error:
        raise ConfigError(f"the repository {folder} cannot be written: {error}; name another folder") from error
    return written
