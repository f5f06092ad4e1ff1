"""Training from a config to results, resumable at any step; of one seed, or of several in one program."""

import contextlib
import dataclasses
import json
import math
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from tqdm import tqdm

from mans_jax.block_loop import make_block_loop
from mans_jax.checkpoints import Checkpoints
from mans_jax.config import Config, check_resumable
from mans_jax.errors import Diverged, InputError
from mans_jax.host_memory import known_of, variables_of
from mans_jax.processes import agree, check_same, is_first
from mans_jax.run_log import RunLog, provenance, write_json, write_text
from mans_jax.runs import Run, check_graph, first_state, on_mesh, prepare_run, restore_tested, with_seed
from mans_jax.seeds import SeedsProgram, seeds_programs
from mans_jax.sharding import place
from mans_jax.tasks.link_prediction import link_prediction_metrics, predict_links
from mans_jax.tasks.link_prediction_by_blocks import fetched_at_once, parts_from_host, predict_links_by_blocks
from mans_jax.tasks.link_prediction_on_mesh import predict_links_on_mesh
from mans_jax.tasks.query_blocks import TripleCounts
from mans_jax.training_step import TrainState, make_training_loop

FAILURE = 'failure.json'
"""The file in the workdir of a seed that has diverged; it tells the step and why."""

_STEPS_PER_CALL = 1000
"""At most so many steps run on the device before the host looks whether it should stop."""


class Interrupted(Exception):
    """The run was asked to stop by SIGTERM, and has saved its state."""


@dataclasses.dataclass
class Progress:
    """What a run knows of itself beyond its state; saved beside it.

    Attributes:
        graph: checksum of the graph that is trained on.
        best_mrr: the highest MRR on valid so far, or None.
        stale: evaluations since then.
    """

    graph: str
    best_mrr: float | None = None
    stale: int = 0


@dataclasses.dataclass
class Member:
    """One of the seeds that train together.

    Attributes:
        run: with this seed.
        workdir: what an ordinary run has.
        checkpoints: those in it.
        progress: as saved with the step that the training stands at.
        failure: why the seed has diverged, or None.
        log: of its metrics; None in a process that does not write it.
        mrr: what the validation that has just been made found, or None.
    """

    run: Run
    workdir: Path
    checkpoints: Checkpoints
    progress: Progress
    failure: Diverged | None = None
    log: RunLog | None = None
    mrr: float | None = None

    @property
    def trains(self) -> bool:
        """Whether further steps of this seed count: it has neither diverged nor run out of patience."""
        return self.failure is None and not 0 < self.run.config.patience <= self.progress.stale


def train_and_evaluate(config: Config, workdir) -> TrainState:
    """Trains, validates, saves and tests, going on from the last checkpoint in the workdir where there is one.

    Args:
        config: a validated recipe.
        workdir: the folder of the run, made where it is missing. It receives config.json, provenance.json,
            metrics.jsonl, events/ (TensorBoard), checkpoints/ and results.json.

    Returns:
        The state that was tested: the best on valid, or the last where nothing was validated.

    Raises:
        InputError: the config, the data or the workdir cannot be used, or the training has diverged.
        Interrupted: SIGTERM came; the state is saved.
    """
    workdir = writable(Path(workdir))
    (workdir / FAILURE).unlink(missing_ok=True)
    run = prepare_run(config)
    check_same(config, run.graph)
    run = on_mesh(run)
    (member,) = train_seeds(run, {config.seed: workdir})
    if member.failure:
        raise member.failure
    state, results, _ = judge(run, workdir)
    if is_first():
        write_json(workdir / 'results.json', results)
    return state


def train_seeds(run: Run, workdirs: Mapping[int, Path], program_of: Callable | None = None) -> list[Member]:
    """Trains, validates and saves several seeds of a run in one program, each as if it were a run of its own.

    A seed that diverges, or whose patience is at its end, takes no part any more; the others go on.

    Args:
        run: the run; its own seed does not matter.
        workdirs: the folder of each seed, which exists.
        program_of: from `programs_of`, where it was made before; it holds what has been compiled.

    Returns:
        What became of each; their states are in their checkpoints.

    Raises:
        InputError: a workdir cannot be used, or holds another run.
        Interrupted: SIGTERM came; the states are saved.
    """
    if run.config.mesh and len(workdirs) > 1:
        raise InputError(
            f'config.mesh is {run.config.mesh!r}, but seeds that train together do so on one device: leave it empty'
        )
    if run.host and len(workdirs) > 1:
        raise InputError(
            f'config.device_memory_gb is {run.config.device_memory_gb} and stream_triples {run.config.stream_triples}, '
            f'but seeds that train together need all on the device: train one at a time, or set them to 0 and False'
        )
    with contextlib.ExitStack() as stack:
        members = []
        for seed, workdir in workdirs.items():
            checkpoints = Checkpoints(workdir / 'checkpoints', keep_last=run.config.keep_checkpoints)
            members.append(_look(with_seed(run, seed), workdir, stack.enter_context(checkpoints)))
        program = (program_of or programs_of(run))(workdirs)
        step, states = _start_or_resume(members, program)
        for member in members:
            if not is_first():
                continue
            write_text(member.workdir / 'config.json', member.run.config.to_json())
            write_json(member.workdir / 'provenance.json', provenance(run.graph))
            if member.trains:
                member.log = stack.enter_context(RunLog(member.workdir, resumed_step=step))
        stop_requested = stack.enter_context(_stop_requested_by_sigterm())
        _train(members, program, states, step, stop_requested)
    return members


def programs_of(run: Run) -> Callable:
    """The programs that train seeds of a run, see `seeds_programs`."""
    if run.host is None:
        loop = make_training_loop(run.model, run.config, run.steps_per_epoch)
    else:
        loop = make_block_loop(run.model, run.config, run.steps_per_epoch, run.host)
    return seeds_programs(loop, run.data)


def judge(run: Run, workdir: Path) -> tuple[TrainState, dict, TripleCounts]:
    """Tests what training has left in a workdir.

    Returns:
        The best state on valid, or the last one; the content of results.json; and where the test triples stand.
    """
    with Checkpoints(workdir / 'checkpoints') as checkpoints:
        state = restore_tested(run, checkpoints)
    results = {'step': int(state.step), 'ties': run.config.ties, 'splits': run.config.splits}
    results['valid'] = evaluate(run, state, 'valid')
    counts = rank_split(run, state, 'test')
    results['test'] = link_prediction_metrics(counts, run.config.ties)
    return state, results, counts


def writable(workdir: Path) -> Path:
    """The folder of a run, made where it is missing, or an InputError where it cannot be written."""
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        (workdir / '.write_test').touch()
        (workdir / '.write_test').unlink(missing_ok=True)  # Another process of the run may have been quicker.
    except OSError as error:
        raise InputError(f'--workdir={workdir} cannot be written: {error.strerror}; choose another folder') from None
    return workdir


def _look(run, workdir, checkpoints) -> Member:
    """What is in a workdir, of which nothing is changed."""
    member = Member(run, workdir, checkpoints, Progress(run.graph.checksum()))
    step = checkpoints.latest_step()
    if step is not None:
        check_resumable(run.config, workdir)
        member.progress = Progress(**checkpoints.read_record(step))
        check_graph(run.graph, member.progress.graph, workdir)
    if (workdir / FAILURE).exists():
        member.failure = Diverged(json.loads((workdir / FAILURE).read_text())['why'])
    return member


def _start_or_resume(members, program) -> tuple[int, object]:
    """The step that the training stands at, and the states of the seeds."""
    # A kill may have come when some had saved a step and others not.
    steps = [set(member.checkpoints.steps()) for member in members if member.trains]
    step = max(set.intersection(*steps), default=0) if steps else 0
    return step, program.join([_state_at(member, step) for member in members])


def _state_at(member, step) -> TrainState:
    """The state of a seed at a step; one that takes no part any more has a place, so that the program is the same."""
    run = member.run
    state = first_state(run)
    if not member.trains:
        return state.replace(step=jnp.full_like(state.step, step))
    if not step:
        member.progress = Progress(run.graph.checksum())
        return state
    if step < run.total_steps:
        logging.info('resuming %s at step %d of %d', member.workdir, step, run.total_steps)
    else:
        logging.info('%s is trained already, to step %d: only its results are made anew', member.workdir, step)
    member.progress = Progress(**member.checkpoints.read_record(step))
    return member.checkpoints.restore(step, state, num_entities=run.graph.num_entities)


def _train(members: Sequence[Member], program: SeedsProgram, states, step: int, stop_requested) -> None:
    """The epochs that are left."""
    run = members[0].run
    config, per_epoch = run.config, run.steps_per_epoch
    with _bar(range(config.num_epochs), initial=step // per_epoch, unit='epoch') as bar:
        if step < run.total_steps and any(member.trains for member in members):
            bar.set_postfix_str('compiling')
            states = program.train_steps(states, 0)
        while step < run.total_steps and any(member.trains for member in members):
            began, first, end_of_epoch = time.perf_counter(), step, (step // per_epoch + 1) * per_epoch
            while step < end_of_epoch and not stop_requested():
                num_steps = min(end_of_epoch - step, _STEPS_PER_CALL)
                states = program.train_steps(states, num_steps)
                step += num_steps
                jax.block_until_ready(states.step)
            if step == end_of_epoch:
                steps_per_second = len(members) * (step - first) / (time.perf_counter() - began)
                losses = _end_epoch(members, program, states, step, steps_per_second)
                _show(bar, step // per_epoch, config.num_epochs, losses, [m.mrr for m in members if m.mrr is not None])
            if stop_requested():
                due = [i for i, member in enumerate(members) if member.trains]
                _save(members, program, states, step, due)
                raise Interrupted(f'stopped by SIGTERM at step {step} of {run.total_steps}; the same command goes on')


def _end_epoch(members, program, states, step, steps_per_second) -> list[float]:
    """What is due at the end of an epoch: metrics, evaluation on valid, checkpoints; returns the losses."""
    run, losses, due = members[0].run, [], []
    epoch, norms = step // run.steps_per_epoch, program.next_norms(states)
    for i, member in enumerate(members):
        member.mrr = None
        if not member.trains:
            continue
        state = program.state_of(states, i)
        try:
            metrics = _epoch_metrics(run, state, norms[i], steps_per_second)
            _log(member, step, epoch, 'train', metrics)
            losses.append(metrics['loss'])
            if _is_due(run, step, run.config.evaluate_every):
                _validate(member, state, epoch)
        except Diverged as error:
            _fail(member, step, error, several=len(members) > 1)
            continue
        if member.mrr is not None or _is_due(run, step, run.config.checkpoint_every) or step == run.total_steps:
            due.append(i)
    _save(members, program, states, step, due)
    return losses


def _log(member, step, epoch, split, metrics) -> None:
    if member.log is not None:
        member.log.write(step, epoch, split, metrics)


def _epoch_metrics(run, state, norms, steps_per_second) -> dict:
    gradient_norm, update_norm = map(float, norms)
    loss, virtual_share = (float(state.totals[name]) / run.steps_per_epoch for name in ('loss', 'virtual_share'))
    # The norms tell of parameters that only the last step has spoilt, before they are saved.
    for name, value in {'loss': loss, 'gradient norm': gradient_norm, 'update norm': update_norm}.items():
        if not math.isfinite(value):
            raise Diverged(
                f'the {name} is {value} at step {int(state.step)}: the training has diverged; lower '
                f'config.learning_rate and choose another --workdir (the checkpoints from before are kept)'
            )
    return {
        'loss': loss,
        'virtual_share': virtual_share,
        'gradient_norm': gradient_norm,
        'update_norm': update_norm,
        'triples_per_second': round(steps_per_second * run.config.batch_size, 1),
    }


def _is_due(run, step, every) -> bool:
    return bool(every) and (step // run.steps_per_epoch % every == 0 or step == run.total_steps)


def _validate(member, state, epoch) -> None:
    metrics, progress = evaluate(member.run, state, 'valid'), member.progress
    _log(member, int(state.step), epoch, 'valid', metrics)
    member.mrr = mrr = metrics['mrr']
    is_best = progress.best_mrr is None or mrr > progress.best_mrr
    progress.best_mrr, progress.stale = (mrr, 0) if is_best else (progress.best_mrr, progress.stale + 1)


def _fail(member, step, error, several) -> None:
    """A seed that has diverged takes no part any more, also where the training is resumed."""
    if several:
        logging.warning('%s: %s', member.workdir, error)
    if is_first():
        write_json(member.workdir / FAILURE, {'step': step, 'why': str(error)})
    member.failure = error


def _save(members, program, states, step, due) -> None:
    """Saves the members that are named by their places."""
    # A step is not begun before the one before is whole with every seed: a resume needs one that all of them have.
    for member in members:
        member.checkpoints.wait()
    for i in due:
        member = members[i]
        metric, record = member.mrr, dataclasses.asdict(member.progress)
        state, num_entities = program.state_of(states, i), member.run.graph.num_entities
        member.checkpoints.save(step, state, record, metric=metric, num_entities=num_entities)
        if member.run.host and member.run.host.table:
            # The next steps write into the very arrays that are being saved.
            member.checkpoints.wait()


def evaluate(run: Run, state: TrainState, split: str) -> dict:
    """Filtered link prediction on a split; metrics as `link_prediction_metrics` has them."""
    return link_prediction_metrics(rank_split(run, state, split), run.config.ties)


def rank_split(run: Run, state: TrainState, split: str) -> TripleCounts:
    """Where the triples of a split stand among all entities, filtered."""
    graph, triples, known = run.graph, run.graph.split(split), run.known
    if run.host and run.host.stream:
        known = known_of(graph, triples)
        known = place(known, run.model.mesh) if run.model.mesh else known

    def progress(blocks):
        return _bar(blocks, desc=f'ranking {split}', unit='block', leave=False)

    if run.host and run.host.table:
        fetch = partial(variables_of, state.params, run.host.fetcher)
        parts = parts_from_host(run.model, fetch, fetched_at_once(run.model))
        return predict_links_by_blocks(run.model, parts, graph, triples, known, progress)
    predict = predict_links_on_mesh if run.model.mesh else predict_links
    return predict(run.model, state.params, run.frozen(state.params), graph, triples, known, progress)


def _bar(items, **options):
    """A progress bar where a person watches, nothing elsewhere."""
    return tqdm(items, disable=not sys.stderr.isatty() or not is_first(), **options)


def _show(bar, epoch, num_epochs, losses, mrrs):
    """Moves the bar on; where there is none, logs a tenth of the training at a time, and every evaluation."""
    news = {'loss': losses, 'valid mrr': mrrs}
    news = {name: f'{np.mean(values):.4f}' for name, values in news.items() if values}
    bar.set_postfix(news)
    bar.update()
    if bar.disable and (mrrs or epoch % max(num_epochs // 10, 1) == 0):
        logging.info('epoch %d of %d: %s', epoch, num_epochs, ', '.join(f'{name} {x}' for name, x in news.items()))


@contextlib.contextmanager
def _stop_requested_by_sigterm():
    """Yields a function that says whether SIGTERM has come, which no longer ends the process by itself."""
    came = []
    try:
        before = signal.signal(signal.SIGTERM, lambda *_: came.append(True))
    except ValueError:
        # Not the main thread: whoever runs this in a thread of theirs handles signals.
        yield lambda: False
        return
    try:
        yield lambda: agree(bool(came))
    finally:
        signal.signal(signal.SIGTERM, before)
