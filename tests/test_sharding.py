"""Training on a mesh of eight devices: as on one, but for the order of sums; in a process that has eight."""

import os
import pathlib
import subprocess
import sys

import pytest

from mans_jax.config import Config
from mans_jax.errors import InputError

ROOT = pathlib.Path(__file__).parent.parent
EIGHT = {'JAX_NUM_CPU_DEVICES': '8', 'JAX_PLATFORMS': 'cpu'}


@pytest.mark.parametrize('which', ['not slow', pytest.param('slow', marks=pytest.mark.slow)])
def test_on_eight_devices(which):
    """Runs tests/on_eight_devices.py: JAX counts the devices once in a process."""
    environment = {**os.environ, **EIGHT, 'PYTHONPATH': os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    command = [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', '-m', which, 'tests/on_eight_devices.py']
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-8000:]


@pytest.mark.parametrize(
    'text', ['2x4', 'data=2;entity=4', 'data=0', 'entity=2,entity=2', 'model=2', 'data=-1', 'data=']
)
def test_a_text_that_is_no_mesh_is_refused(text):
    with pytest.raises(InputError) as error:
        Config(data='digits', mesh=text).validate()
    assert str(error.value) == f"config.mesh is {text!r}, but must be of the form 'data=2,entity=4'"


def test_a_batch_that_the_data_axis_does_not_divide_is_refused():
    with pytest.raises(InputError) as error:
        Config(data='digits', mesh='data=2', batch_size=181).validate()
    assert str(error.value) == "config.batch_size is 181, but config.mesh is 'data=2': choose a multiple of 2"
