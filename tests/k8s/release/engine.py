#!/usr/bin/python3 -SE
"""Stands in for podman where no image can be built: images are files of $ENGINE, `here` and in its `registry`.

What an image holds is the bento's description; the time of each build and push is one line of $ENGINE/done.
"""

import os
import pathlib
import subprocess
import sys

PLACE = pathlib.Path(os.environ["ENGINE"])


def file(where, image):
    return PLACE / where / image.removeprefix("docker://").replace("/", "_")


def note(what, image):
    with (PLACE / "done").open("a") as done:
        print(what, image, file=done)


def main(arguments):
    if arguments[:2] == ["image", "inspect"]:
        sys.exit(not file("here", arguments[2]).exists())
    if arguments[:2] == ["manifest", "add"]:
        sys.exit(not file("registry", arguments[3]).exists())
    if arguments[0] == "run":
        sys.exit(subprocess.run([os.environ["PYTHON"], "-c", arguments[-1]], check=False).returncode)
    if arguments[0] == "build":
        image = arguments[arguments.index("--tag") + 1]
        note("build", image)
        file("here", image).write_text((pathlib.Path(arguments[-1]) / "bento" / "bento.yaml").read_text())
    if arguments[0] == "push":
        note("push", arguments[1])
        file("registry", arguments[1]).write_text(file("here", arguments[1]).read_text())
    if arguments[0] == "load":
        note("load", arguments[1])


main(sys.argv[1:])
