"""Reads and writes rows of a Feast repository's online store. The only place that imports Feast.

Its SDK takes seconds and a hundred megabytes to import, so only a store that needs it does. Rows go through the
interface that every online store of Feast implements, ``online_read`` and ``online_write_batch``; what is around them,
``get_online_features`` and ``push``, makes data frames of single rows (docs/decisions/0013-feast.md). Both see the same
rows.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from bentos.core.errors import ArtifactIncompatible, ConfigError
from bentos.core.features.definitions import FEATURE_SCHEMA
from bentos.fraud.store.feast_views import NOTES, SCHEMA_TAG, SECRET_TAG, VIEWS, View
from bentos.fraud.store.file import now_microseconds

__all__ = ["INSTALL", "FeastRows", "Row"]

INSTALL: Final = "pip install --constraint constraints-feast.txt '.[serve,feast]'"
_EPOCH: Final = datetime.fromtimestamp(0, UTC)
#: Where Feast's message for a value keeps it.
_PLACES: Final = {
    "Bytes": "bytes_val",
    "Float64": "double_val",
    "Int64": "int64_val",
    "UnixTimestamp": "unix_timestamp_val",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One key's row.

    Parameters
    ----------
    written_at
        Microseconds since 1970 UTC; 0 when there is no row.
    values
        Of its fields; those that it lacks are left out.
    """

    written_at: int
    values: Mapping[str, Any]


class FeastRows:
    """Rows of a repository that was applied. For one thread at a time: so are Feast's clients.

    Parameters
    ----------
    repository
        Folder with feature_store.yaml.
    fingerprint
        Of the secret that hashes the keys.

    Raises
    ------
    ConfigError
        When Feast is not installed, there is no such repository, or it was not applied.
    ArtifactIncompatible
        When it was made for other features, or for another pseudonym key.
    """

    def __init__(self, repository: Path, fingerprint: str) -> None:
        if not (repository / "feature_store.yaml").is_file():
            raise ConfigError(
                f"FRAUD_FEAST_REPOSITORY names {repository}, which has no feature_store.yaml; make one with"
                " `python -m bentos.fraud feast repository FOLDER`, then `feast apply` in it"
            )
        _keep_metrics_together()
        try:
            import feast
            from feast.infra.online_stores.helpers import get_online_store_from_config
            from feast.protos.feast.types.EntityKey_pb2 import EntityKey
            from feast.protos.feast.types.Value_pb2 import Value

            store = feast.FeatureStore(repo_path=str(repository))
            self._client = get_online_store_from_config(store.config.online_store)
        except ImportError as error:
            raise ConfigError(
                f"FRAUD_FEATURE_STORE=feast needs Feast, which cannot be imported ({error}); install it with {INSTALL}"
            ) from error
        self._config = store.config
        self._key_message, self._value_message = EntityKey, Value
        self._views = {view.name: self._found(store, view, fingerprint) for view in (*VIEWS.values(), NOTES)}

    def _found(self, store: Any, view: View, fingerprint: str) -> Any:
        from feast.errors import FeatureViewNotFoundException

        try:
            found = store.get_feature_view(view.name)
        except FeatureViewNotFoundException as error:
            raise ConfigError(
                f"Feast's registry has no feature view {view.name} in project {store.project}; run `feast apply` in"
                f" {store.repo_path}"
            ) from error
        for tag, expected in ((SCHEMA_TAG, FEATURE_SCHEMA), (SECRET_TAG, fingerprint)):
            if found.tags.get(tag) != expected:
                raise ArtifactIncompatible(
                    f"Feast's feature view {view.name} was made with {tag} {found.tags.get(tag)}, this program uses"
                    f" {expected}; set FRAUD_PSEUDONYM_KEY as it was, or make and apply the repository again with"
                    " another project name"
                )
        return found

    def read(self, view: View, keys: Sequence[bytes], fields: Sequence[str]) -> list[Row]:
        """Rows of keys, in their order."""
        if not keys:
            return []
        entities = [self._entity(view, key) for key in keys]
        answers = self._client.online_read(self._config, self._views[view.name], entities, list(fields))
        return [_row(written_at, values, fields) for written_at, values in answers]

    def write(self, view: View, rows: Sequence[tuple[bytes, Row]]) -> None:
        """Write whole rows: key, and the row as it was read, with the values that it shall have.

        Feast drops what is not newer than what it has; so a row is written later than it was read, whatever the clock.
        """
        if not rows:
            return
        types = {field.name: _PLACES[field.type] for field in view.fields}
        now = now_microseconds()
        data = []
        for key, row in rows:
            values = {name: self._value_message(**{types[name]: value}) for name, value in row.values.items()}
            written_at = _EPOCH + timedelta(microseconds=max(now, row.written_at + 1))
            data.append((self._entity(view, key), values, written_at, None))
        self._client.online_write_batch(self._config, self._views[view.name], data, None)

    def _entity(self, view: View, key: bytes) -> Any:
        return self._key_message(join_keys=[view.join_key], entity_values=[self._value_message(string_val=key.hex())])


def _keep_metrics_together() -> None:
    """Without this Feast makes a folder for metrics in each process, and leaves it there when that is killed."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder:
        os.environ.setdefault("PROMETHEUS_MULTIPROCESS_DIR", folder)


def _row(written_at: datetime | None, values: Mapping[str, Any] | None, fields: Sequence[str]) -> Row:
    found = {}
    for name in fields:
        value = None if values is None else values.get(name)
        place = None if value is None else value.WhichOneof("val")
        if place is not None:
            found[name] = getattr(value, place)
    at = 0 if written_at is None or not found else round(written_at.timestamp() * 1e6)
    return Row(at, found)
