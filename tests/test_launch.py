"""The launch scripts for several processes: what they would start, and that their text is sound."""

import os
import pathlib
import shlex
import shutil
import subprocess
import sys

import pytest
import yaml

LAUNCH = pathlib.Path(__file__).resolve().parents[1] / 'launch'
RECIPE = ('--config=configs/digits.py', '--workdir=runs/two words')


def dry_run(script, *arguments, **variables):
    environment = {'PATH': os.environ['PATH'], 'DRY_RUN': '1', **variables}
    return subprocess.run(
        ['bash', LAUNCH / script, *arguments], env=environment, cwd=LAUNCH.parent, capture_output=True, text=True
    )


def test_local_processes_are_one_command_each():
    done = dry_run('local_processes.sh', *RECIPE, PROCESSES='3', DEVICES='4', PORT='1234')
    assert done.returncode == 0, done.stderr
    commands = [shlex.split(line) for line in done.stdout.splitlines()]
    assert len(commands) == 3
    for process_id, command in enumerate(commands):
        assert command[:3] == ['env', 'JAX_PLATFORMS=cpu', 'JAX_NUM_CPU_DEVICES=4']
        several = ['--coordinator=localhost:1234', '--num_processes=3', f'--process_id={process_id}']
        assert command[4:] == ['-m', 'mans_jax.train', *RECIPE, *several]


def test_local_processes_take_the_devices_that_are_there():
    done = dry_run('local_processes.sh', *RECIPE, DEVICES='0')
    assert [shlex.split(line)[1:3] for line in done.stdout.splitlines()] == [['-m', 'mans_jax.train']] * 2


def test_slurm_starts_a_task_each():
    done = dry_run('slurm.sbatch', *RECIPE)
    command = shlex.split(done.stdout)
    assert command[:2] == ['srun', '--kill-on-bad-exit=1']
    assert command[3:] == ['-m', 'mans_jax.train', *RECIPE, '--coordinator=auto']


def test_a_tpu_pod_starts_the_command_on_every_worker():
    done = dry_run('tpu_pod.sh', *RECIPE, TPU='slice', ZONE='zone', FOLDER='a folder')
    *local, remote = shlex.split(done.stdout)
    assert local == ['gcloud', 'compute', 'tpus', 'tpu-vm', 'ssh', 'slice', '--zone=zone', '--worker=all']
    cd, _, command = remote.removeprefix('--command=').partition(' && exec ')
    assert shlex.split(cd) == ['cd', 'a folder']
    assert shlex.split(command) == ['.venv/bin/python', '-m', 'mans_jax.train', *RECIPE, '--coordinator=auto']


@pytest.mark.parametrize(
    ('script', 'variables', 'arguments', 'said'),
    [
        ('local_processes.sh', {'PROCESSES': '0'}, RECIPE, 'PROCESSES=0 is no number of processes'),
        ('local_processes.sh', {'DEVICES': 'two'}, RECIPE, 'DEVICES=two is no number of devices'),
        ('local_processes.sh', {}, (), 'name a recipe: --config=FILE --workdir=FOLDER'),
        ('slurm.sbatch', {}, (), 'name a recipe: --config=FILE --workdir=FOLDER'),
        ('tpu_pod.sh', {'ZONE': 'zone'}, RECIPE, 'set TPU to the name of the slice'),
        ('tpu_pod.sh', {'TPU': 'slice'}, RECIPE, 'set ZONE to its zone'),
        ('tpu_pod.sh', {'TPU': 'slice', 'ZONE': 'zone'}, (), 'name a recipe: --config=FILE --workdir=FOLDER'),
    ],
)
def test_what_is_missing_is_told_in_a_line(script, variables, arguments, said):
    done = dry_run(script, *arguments, **variables)
    assert (done.returncode, done.stdout, done.stderr) == (1, '', f'launch: {said}\n')


def test_pods_of_the_job_set_agree():
    job_set = yaml.safe_load((LAUNCH / 'kubernetes_jobset.yaml').read_text())
    assert (job_set['apiVersion'], job_set['kind']) == ('jobset.x-k8s.io/v1alpha2', 'JobSet')
    name, (job,) = job_set['metadata']['name'], job_set['spec']['replicatedJobs']
    spec = job['template']['spec']
    (container,) = spec['template']['spec']['containers']
    variables = {variable['name']: variable.get('value') for variable in container['env']}
    assert spec['completionMode'] == 'Indexed'
    assert str(spec['parallelism']) == str(spec['completions']) == variables['JAX_NUM_PROCESSES']
    port = container['ports'][0]['containerPort']
    # JobSet names a Pod by the set, the job, and their places; all of them are in the domain of the set.
    assert variables['JAX_COORDINATOR_ADDRESS'] == f'{name}-{job["name"]}-0-0.{name}:{port}'
    assert container['command'] == ['python', '-m', 'mans_jax.train']
    devices = spec['parallelism'] * container['resources']['limits']['nvidia.com/gpu']
    assert f'--config.mesh=entity={devices}' in container['args'], 'the devices do not fill the mesh'
    assert {claim['name'] for claim in spec['template']['spec']['volumes']} == {
        mount['name'] for mount in container['volumeMounts']
    }


def test_scripts_are_clean():
    folders = [str(pathlib.Path(sys.executable).parent), os.environ['PATH']]
    shellcheck = shutil.which('shellcheck', path=os.pathsep.join(folders))
    if shellcheck is None:
        pytest.skip("needs shellcheck: pip install 'mans_jax[test]'")
    scripts = [*LAUNCH.glob('*.sh'), LAUNCH / 'slurm.sbatch']
    done = subprocess.run([shellcheck, '--source-path=SCRIPTDIR', '-x', *scripts], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
