"""Lets a benchmark run from a checkout on a machine that has no more than JAX and what a step computes with.

Importing this puts the checkout on the path, and something in the place of libraries that are missing and that read
recipes and draw progress bars alone. Nothing that is timed uses them.
"""

import importlib.util
import sys
import types
from pathlib import Path

sys.path.insert(1, str(Path(__file__).parents[1]))

for _name, _contents in (('ml_collections', {'ConfigDict': dict}), ('tqdm', {'tqdm': lambda rows, **_: rows})):
    if importlib.util.find_spec(_name) is None:
        sys.modules[_name] = types.ModuleType(_name)
        vars(sys.modules[_name]).update(_contents)
