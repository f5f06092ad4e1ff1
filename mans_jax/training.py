"""Training from a config to results, resumable at any step."""

import contextlib
import dataclasses
import math
import signal
import sys
import time
from pathlib import Path

import jax
from absl import logging
from tqdm import tqdm

from mans_jax.checkpoints import Checkpoints
from mans_jax.config import Config, check_resumable
from mans_jax.errors import InputError
from mans_jax.run_log import RunLog, provenance, write_json, write_text
from mans_jax.runs import Run, check_graph, prepare_run
from mans_jax.tasks.link_prediction import link_prediction_metrics, predict_links
from mans_jax.training_step import TrainState, init_state, make_training_loop

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
    run = prepare_run(config)
    with Checkpoints(workdir / 'checkpoints', keep_last=config.keep_checkpoints) as checkpoints:
        state, progress = _start_or_resume(run, workdir, checkpoints)
        write_text(workdir / 'config.json', config.to_json())
        write_json(workdir / 'provenance.json', provenance(run.graph))
        step = int(state.step)
        with RunLog(workdir, resumed_step=step) as log, _stop_requested_by_sigterm() as stop_requested:
            state = _train(run, state, progress, checkpoints, log, stop_requested)
        best = checkpoints.best_step() if config.evaluate_every else None
        if best is not None and best != int(state.step):
            state = checkpoints.restore(best, state)
        results = {'step': int(state.step), 'ties': config.ties, 'splits': config.splits}
        for split in ('valid', 'test'):
            results[split] = evaluate(run, state, split)
        write_json(workdir / 'results.json', results)
    return state


def writable(workdir: Path) -> Path:
    """The folder of a run, made where it is missing, or an InputError where it cannot be written."""
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        (workdir / '.write_test').touch()
        (workdir / '.write_test').unlink()
    except OSError as error:
        raise InputError(f'--workdir={workdir} cannot be written: {error.strerror}; choose another folder') from None
    return workdir


def _start_or_resume(run, workdir, checkpoints) -> tuple[TrainState, Progress]:
    # On its device as a restored state is: to JAX, one that has no place of its own is another program's.
    state = jax.device_put(init_state(run.model, run.config, run.data), jax.local_devices()[0])
    step = checkpoints.latest_step()
    if step is None:
        return state, Progress(run.graph.checksum())
    check_resumable(run.config, workdir)
    progress = Progress(**checkpoints.read_record(step))
    check_graph(run.graph, progress.graph, workdir)
    if step < run.total_steps:
        logging.info('resuming %s at step %d of %d', workdir, step, run.total_steps)
    else:
        logging.info('%s is trained already, to step %d: only its results are made anew', workdir, step)
    return checkpoints.restore(step, state), progress


def _train(run, state, progress, checkpoints, log, stop_requested) -> TrainState:
    """The epochs that are left."""
    config, per_epoch = run.config, run.steps_per_epoch
    loop = make_training_loop(run.model, config, per_epoch)
    step = int(state.step)
    with _bar(range(config.num_epochs), initial=step // per_epoch, unit='epoch') as bar:
        bar.set_postfix_str('compiling')
        while step < run.total_steps and not 0 < config.patience <= progress.stale:
            began, first, end_of_epoch = time.perf_counter(), step, (step // per_epoch + 1) * per_epoch
            while step < end_of_epoch and not stop_requested():
                num_steps = min(end_of_epoch - step, _STEPS_PER_CALL)
                state = loop.train_steps(state, run.data, num_steps)
                step += num_steps
                jax.block_until_ready(state.step)
            if step == end_of_epoch:
                metrics = _epoch_metrics(run, loop, state, (step - first) / (time.perf_counter() - began))
                log.write(step, step // per_epoch, 'train', metrics)
                mrr = _validate_and_save(run, state, progress, checkpoints, log)
                _show(bar, step // per_epoch, config.num_epochs, metrics['loss'], mrr)
            if stop_requested():
                checkpoints.save(step, state, dataclasses.asdict(progress))
                checkpoints.wait()
                raise Interrupted(f'stopped by SIGTERM at step {step} of {run.total_steps}; the same command goes on')
    return state


def _epoch_metrics(run, loop, state, steps_per_second) -> dict:
    gradient_norm, update_norm = (float(norm) for norm in loop.next_norms(state, run.data))
    loss, virtual_share = (float(state.totals[name]) / run.steps_per_epoch for name in ('loss', 'virtual_share'))
    # The norms tell of parameters that only the last step has spoilt, before they are saved.
    for name, value in {'loss': loss, 'gradient norm': gradient_norm, 'update norm': update_norm}.items():
        if not math.isfinite(value):
            raise InputError(
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


def _validate_and_save(run, state, progress, checkpoints, log) -> float | None:
    """What is due at the end of an epoch: evaluation on valid, a checkpoint, both or nothing; returns a new MRR."""
    config, step = run.config, int(state.step)
    epoch, is_last = step // run.steps_per_epoch, step == run.total_steps

    def due(every):
        return every and (epoch % every == 0 or is_last)

    mrr = None
    if due(config.evaluate_every):
        metrics = evaluate(run, state, 'valid')
        log.write(step, epoch, 'valid', metrics)
        mrr = metrics['mrr']
        is_best = progress.best_mrr is None or mrr > progress.best_mrr
        progress.best_mrr, progress.stale = (mrr, 0) if is_best else (progress.best_mrr, progress.stale + 1)
    if mrr is not None or due(config.checkpoint_every) or is_last:
        checkpoints.save(step, state, dataclasses.asdict(progress), metric=mrr)
    return mrr


def evaluate(run: Run, state: TrainState, split: str) -> dict:
    """Filtered link prediction on a split; metrics as `link_prediction_metrics` has them."""
    counts = predict_links(
        run.model,
        state.params,
        run.data.frozen,
        run.graph,
        run.graph.split(split),
        run.known,
        progress=lambda blocks: _bar(blocks, desc=f'ranking {split}', unit='block', leave=False),
    )
    return link_prediction_metrics(counts, run.config.ties)


def _bar(items, **options):
    """A progress bar where a person watches, nothing elsewhere."""
    return tqdm(items, disable=not sys.stderr.isatty(), **options)


def _show(bar, epoch, num_epochs, loss, mrr):
    """Moves the bar on; where there is none, logs a tenth of the training at a time, and every evaluation."""
    news = {'loss': f'{loss:.4f}'} | ({} if mrr is None else {'valid mrr': f'{mrr:.4f}'})
    bar.set_postfix(news)
    bar.update()
    if bar.disable and (mrr is not None or epoch % max(num_epochs // 10, 1) == 0):
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
        yield lambda: bool(came)
    finally:
        signal.signal(signal.SIGTERM, before)
