"""The calibration of a run, fitted on its valid triples when first asked for and kept in its workdir."""

import dataclasses
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import logging

from mans_jax.blocks import score_rows
from mans_jax.errors import InputError
from mans_jax.graph import HEAD, TAIL
from mans_jax.models import FROZEN, PARAMS
from mans_jax.negatives import corrupt, corrupt_relation
from mans_jax.prediction.calibration import Calibration, fit
from mans_jax.run_log import write_json
from mans_jax.runs import Run, parameters_digest

FILE = 'calibration.json'


class Calibrations(NamedTuple):
    """One curve for answers that are entities, and one for relations: their false answers are not alike."""

    entity: Calibration
    relation: Calibration


def calibrations(run: Run, params: dict, workdir: Path, step: int) -> Calibrations:
    """The curves for these parameters, from the workdir where they stand there.

    Args:
        run: the run, with valid triples.
        params: its trained parameters.
        workdir: where they are kept, as calibration.json.
        step: of the parameters, to be read in that file.
    """
    path, parameters = workdir / FILE, parameters_digest(params, run.graph.num_entities)
    try:
        kept = json.loads(path.read_text())
        if kept['parameters'] == parameters:
            curves = (kept[name] for name in Calibrations._fields)
            return Calibrations(*(Calibration(float(x['slope']), float(x['intercept'])) for x in curves))
    except (OSError, ValueError, TypeError, KeyError):
        pass  # Not there or not usable: they are fitted anew.
    found = fit_calibrations(run, params)
    curves = {name: dataclasses.asdict(curve) for name, curve in found._asdict().items()}
    try:
        write_json(path, {'step': step, 'parameters': parameters, **curves})
    except InputError as error:
        logging.warning('the calibration is not kept: %s', error)
    return found


def fit_calibrations(run: Run, params: dict) -> Calibrations:
    """Fits each curve to the valid triples and as many false ones, which are filtered corruptions.

    For entities, head or tail of each by the toss of a coin is replaced by an entity that makes no known triple; for
    relations, its relation by one that makes none. So the probability is that of a triple which, before its score is
    seen, may as well be true as be such a corruption; it is not a share of the probability of one answer among many.
    Where no relation is left to make a false triple with, the curve is that of entities.
    """
    positive, variables = run.graph.valid, {PARAMS: params, FROZEN: run.data.frozen}
    sides = np.random.default_rng(0).integers(HEAD, TAIL + 1, len(positive))
    false = [corrupt(positive, sides, run.known, seed=0), corrupt_relation(positive, run.known, seed=0)]
    false = [rows[exists] for rows, exists in false]
    scores = score_rows(run.model, variables, run.graph, np.concatenate([positive, *false]))
    of_positive, of_entity, of_relation = np.split(scores, np.cumsum([len(positive), len(false[0])]))
    entity = fit(of_positive, of_entity)
    return Calibrations(entity, fit(of_positive, of_relation) if len(of_relation) else entity)
