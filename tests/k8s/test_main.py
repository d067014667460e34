"""The command line as a whole."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys

import click
import pytest

import k8s
from k8s.__main__ import COMMANDS, cli, main


def test_every_command_is_listed_and_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    overview = capsys.readouterr().out
    for entry in COMMANDS:
        assert f"\n  {entry.name} " in overview
        command = cli.get_command(click.Context(cli), entry.name)
        assert command is not None
        assert command.name == entry.name
        assert main([entry.name, "--help"]) == 0
        assert capsys.readouterr().out.startswith(f"Usage: python -m k8s {entry.name}")


def test_every_command_of_the_package_is_listed() -> None:
    names = [item.name for item in pkgutil.walk_packages(k8s.__path__, "k8s.")]
    modules = [importlib.import_module(name) for name in names if name.rpartition(".")[2] != "__main__"]
    found = {item for module in modules for item in vars(module).values() if isinstance(item, click.Command)}
    below = {inner for item in found if isinstance(item, click.Group) for inner in item.commands.values()}
    assert {item.name for item in found - below} == {entry.name for entry in COMMANDS}


def test_help_loads_no_client() -> None:
    code = "import sys; from k8s.__main__ import main; main(['train', '--help']); print('kubernetes' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("False\n")


@pytest.mark.parametrize("arguments", [["trian"], ["train"], ["tune", "s3://a/b", "--workers", "0"], ["bulk", "x"]])
def test_wrong_usage_is_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "Usage: python -m k8s" in capsys.readouterr().err
