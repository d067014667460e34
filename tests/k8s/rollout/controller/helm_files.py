#!/usr/bin/python3 -SE
"""Stands in for Helm where there is no cluster: revisions are one JSON file, $HELM_FILES/revisions.json.

An upgrade is pending first, as Helm's are. What changes something tells $HELM_TOLD, an address, before it does
anything, between the pending and the deployed revision, and at its end.
"""

import datetime
import json
import os
import pathlib
import sys
import urllib.request

PLACE = pathlib.Path(os.environ["HELM_FILES"]) / "revisions.json"


def tell(what):
    urllib.request.urlopen(f"{os.environ['HELM_TOLD']}/helm/{what}", timeout=30).read()  # noqa: S310 - the test's own


def merged(base, more):
    if not isinstance(base, dict) or not isinstance(more, dict):
        return more
    return {**base, **{name: merged(base.get(name), value) for name, value in more.items()}}


def write(revisions):
    draft = PLACE.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps(revisions))
    draft.replace(PLACE)


def added(values, status, description):
    revisions = json.loads(PLACE.read_text())
    now = datetime.datetime.now(datetime.UTC).isoformat()
    number = revisions[-1]["revision"] + 1
    revisions.append(
        {"revision": number, "updated": now, "status": status, "description": description, "values": values}
    )
    write(revisions)
    return revisions


def main(arguments):
    changes = arguments[0] in {"upgrade", "rollback"}
    if changes:
        tell(arguments[0])
    revisions = json.loads(PLACE.read_text())
    if arguments[0] == "version":
        print("v4.3.0")
    elif arguments[0] == "history":
        if not revisions:
            sys.exit("Error: release: not found")
        print(json.dumps([{**revisions[-1], "chart": "fraud-platform-0.1.0"}]))
    elif arguments[0] == "get":
        print(json.dumps(revisions[-1]["values"]))
    elif arguments[0] == "rollback":
        values = next(item["values"] for item in revisions if item["revision"] == int(arguments[2]))
        added(values, "deployed", f"Rollback to {arguments[2]}")
    elif arguments[0] == "upgrade":
        if revisions[-1]["status"].startswith("pending"):
            sys.exit("Error: UPGRADE FAILED: another operation (install/upgrade/rollback) is in progress")
        description = arguments[arguments.index("--description") + 1]
        revisions = added(merged(revisions[-1]["values"], json.load(sys.stdin)), "pending-upgrade", "Preparing upgrade")
        tell("pending")
        revisions[-1].update(status="deployed", description=description)
        write(revisions)
    if changes:
        tell("ended")


main(sys.argv[1:])
