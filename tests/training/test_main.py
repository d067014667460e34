"""The command line as a whole."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

import training
from training.__main__ import STEPS, cli, main

ORDER = ("generate", "ingest", "features", "train", "tune", "evaluate", "doctor", "register", "promote", "export")


def test_help_shows_every_step_in_working_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    places = [text.index(f"\n  {name} ") for name in ORDER]
    assert places == sorted(places)


def test_every_step_is_a_command_with_help_and_shown_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    for step in STEPS:
        command = cli.get_command(click.Context(cli), step.name)
        assert command is not None, step.name
        assert command.name == step.name
        assert command.help, step.name
        assert main([step.name, "--help"]) == 0
        assert capsys.readouterr().out.startswith(f"Usage: training {step.name}")


def test_every_command_of_the_packages_is_a_step() -> None:
    names = [item.name for item in pkgutil.walk_packages(training.__path__, "training.")]
    modules = [importlib.import_module(name) for name in names if name.rpartition(".")[2] != "__main__"]
    found = {item.name for module in modules for item in vars(module).values() if isinstance(item, click.Command)}
    assert found == {step.name for step in STEPS}


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from training.__main__ import main; main(['--help'])\n"
        "heavy = {'numpy', 'pandas', 'sklearn', 'torch', 'mlflow', 'optuna', 'matplotlib'} & set(sys.modules)\n"
        "print('loaded:', sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("loaded: []\n")


def test_errors_are_one_message_and_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(tmp_path / "nothing.parquet"), "--no-register"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: there is no feature table at")
    assert "Traceback" not in captured.err
    assert captured.out == ""


@pytest.mark.parametrize("arguments", [["trian"], ["train"], ["train", "x", "--seed", "-1"], ["train", "--no-such"]])
def test_wrong_usage_is_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "Usage: training" in capsys.readouterr().err


def test_ctrl_c_is_code_130(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command("generate")
    def interrupted() -> None:
        raise KeyboardInterrupt

    module = importlib.import_module("training.data.commands")
    monkeypatch.setattr(module, "generate", interrupted)
    assert main(["generate"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_it_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "training", "nothing"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "No such command 'nothing'" in done.stderr
