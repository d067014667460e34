"""Where a Job's data lies: any URL of fsspec, or ``claim://CLAIM/path``, which becomes a path of a mounted volume."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from bentos.core.errors import ConfigError

__all__ = ["CLAIM", "MOUNT", "Places"]

CLAIM: Final = "claim://"
#: Claims are mounted below, each under its name.
MOUNT: Final = "/data"
_CLAIM_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


@dataclass
class Places:
    """Gathers the claims that a Job's arguments name.

    Parameters
    ----------
    writable
        Names of claims, and whether the Job writes there.
    """

    writable: dict[str, bool] = field(default_factory=dict)

    def path(self, place: str, *, written: bool = False) -> str:
        """What a pod calls a place.

        Raises
        ------
        ConfigError
            A path of this machine, which no pod can see, or a claim without a name.
        """
        if not place.startswith(CLAIM):
            if "://" not in place or place.startswith("file:"):
                raise ConfigError(
                    f"{place} is a path of this machine, which the cluster's pods do not see: give a URL such as"
                    " s3://bucket/path, or claim://CLAIM/path of a volume claim"
                )
            return place
        name, _, path = place.removeprefix(CLAIM).partition("/")
        if not _CLAIM_NAME.fullmatch(name) or ".." in path.split("/"):
            raise ConfigError(f"{place} is no place on a volume claim: claim://CLAIM/path is")
        self.writable[name] = self.writable.get(name, False) or written
        return f"{MOUNT}/{name}/{path}".rstrip("/")

    def arguments(self, given: Iterable[str]) -> list[str]:
        """Arguments with the claims in them as paths, also in ``--option=claim://…``."""
        found = []
        for argument in given:
            before, mark, after = argument.partition(CLAIM)
            plain = mark and (not before or before.endswith("="))
            found.append(f"{before}{self.path(CLAIM + after)}" if plain else argument)
        return found
