"""``python -m bentos.fraud feast``: what a team that runs Feast needs beside `feast` itself."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from bentos.core.features.history import CATEGORY, CUSTOMER, MERCHANT
from bentos.core.features.pseudonyms import Pseudonyms
from bentos.core.settings import load_settings
from bentos.fraud.store.feast_repository import SETTINGS_FILE, OnlineStore, write_repository
from bentos.fraud.store.feast_views import VIEWS
from bentos.fraud.store.settings import StoreSettings

__all__ = ["feast"]


@click.group()
def feast() -> None:
    """A Feast repository made from the features' definitions; the commands of `features` fill its online store."""


def _pseudonyms() -> Pseudonyms:
    return Pseudonyms(load_settings(StoreSettings).pseudonym_key.get_secret_value())


@feast.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--project", default="fraud", show_default=True, help="Feast's project; begins the names in its stores.")
@click.option(
    "--online",
    type=click.Choice(get_args(OnlineStore)),
    default="sqlite",
    show_default=True,
    help="Online store of a new feature_store.yaml: sqlite is for one machine.",
)
def repository(folder: Path, project: str, online: OnlineStore) -> None:
    """Write a repository to FOLDER: feature_store.yaml unless it is there, and the definitions.

    The definitions belong to this version of the features and to FRAUD_PSEUDONYM_KEY; `feast apply` takes them over.
    """
    for path in write_repository(folder, _pseudonyms().fingerprint(), project, online):
        click.echo(f"{path} written")
    click.echo(f"next: set the stores in {folder / SETTINGS_FILE}, and run `feast apply` in {folder}", err=True)


@feast.command()
@click.option("--customer", help="Whose key is shown.")
@click.option("--merchant", help="The same for a merchant.")
@click.option("--category", help="The same for a merchant category.")
def key(customer: str | None, merchant: str | None, category: str | None) -> None:
    """Show under which key Feast holds a customer, merchant or category."""
    given = [(CUSTOMER, customer), (MERCHANT, merchant), (CATEGORY, category)]
    chosen = [(kind, identifier) for kind, identifier in given if identifier]
    if not chosen:
        raise click.UsageError("name whose key is shown: --customer, --merchant or --category")
    for kind, identifier in chosen:
        click.echo(f"{VIEWS[kind].join_key} {_pseudonyms().key(kind, identifier).hex()}")
