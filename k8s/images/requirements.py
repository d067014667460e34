"""Print what extras of a project need, one requirement a line: ``requirements.py PYPROJECT EXTRA...``."""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path(sys.argv[1]).read_text())["project"]
extras = (requirement for name in sys.argv[2:] for requirement in project["optional-dependencies"][name])
print("\n".join([*project["dependencies"], *extras]))
