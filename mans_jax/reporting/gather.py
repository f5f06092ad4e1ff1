"""Everything that the page says of one run, taken from its workdir and computed where it is not there."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from absl import logging

from mans_jax.config import Config
from mans_jax.errors import InputError, NotServable
from mans_jax.evaluation import Trial, judge, read_results, results_path, with_earlier_tasks
from mans_jax.graph import KnowledgeGraph
from mans_jax.models import FROZEN, PARAMS
from mans_jax.prediction.predictor import Predictor
from mans_jax.rank_statistics import METRICS
from mans_jax.ranking import ranks
from mans_jax.reporting.adaptive_choice import AdaptiveChoice, adaptive_choice
from mans_jax.reporting.curves import Curves, read_curves
from mans_jax.reporting.entity_map import EntityMap, map_entities
from mans_jax.reporting.examples import Example, find_examples
from mans_jax.reporting.names import Names, read_names
from mans_jax.reporting.pictures import MOST_BYTES, addresses, source
from mans_jax.reporting.score_samples import ScoreSamples, sample_scores
from mans_jax.run_log import write_json
from mans_jax.runs import load_run, parameters_digest
from mans_jax.tasks.link_prediction import embed_candidates, predict_links

STEPS = ('reading', 'curves', 'ranking test', 'scores', 'choice', 'map', 'examples')
"""What `gather` announces, in this order."""

PARTS = {
    ('filtered', 'micro'): 'both sides',
    ('filtered', 'head'): 'head asked for',
    ('filtered', 'tail'): 'tail asked for',
    ('filtered', 'macro'): 'mean over relations',
    ('raw', 'micro'): 'raw',
    ('constrained', 'micro'): 'type-constrained',
}
"""The parts of the results that the page names: protocol and part of link prediction, and what they are called."""

GROUPS = ('relation', 'cardinality', 'coverage', 'degree')
"""The breakdowns that it shows."""

SPLIT, _LINKS = 'test', 'link_prediction'


@dataclasses.dataclass(frozen=True)
class RunReport:
    """What the page says of a run.

    Attributes:
        name: what it is called on the page.
        workdir: its folder.
        config: its recipe.
        graph: its graph.
        ground: the same for runs whose results can be compared: those with the same labels and test triples.
        names: of entities and relations.
        step: of the state that is shown.
        epoch: likewise.
        results: as evaluation_test.json has them, with 'link_prediction' among the tasks.
        provenance: the content of provenance.json, or nothing.
        curves: of the training; here and below None where there is a reason in `not_served`.
        scores: of true and false triples.
        choice: of MANS-A.
        entity_map: a sample of entities.
        examples: kind to queries with their answers.
        pictures: entity id to data URI.
        not_served: section to why it is not there.
    """

    name: str
    workdir: Path
    config: Config
    graph: KnowledgeGraph
    ground: str
    names: Names
    step: int
    epoch: float
    results: dict
    provenance: dict
    curves: Curves | None
    scores: ScoreSamples | None
    choice: AdaptiveChoice | None
    entity_map: EntityMap
    examples: dict[str, list[Example]]
    pictures: dict[int, str]
    not_served: dict[str, str]

    @property
    def links(self) -> dict:
        """The results of link prediction."""
        return self.results['tasks'][_LINKS]


def gather(
    workdir: Path,
    name: str,
    seed: int = 0,
    images: Path | None = None,
    index: Path | None = None,
    picture_bytes: int = MOST_BYTES,
    announce: Callable[[str], None] = lambda step: None,
    progress: Callable[[Iterable], Iterable] = iter,
) -> RunReport:
    """Gathers what the page says of a run.

    Link prediction is taken from evaluation_test.json where that is of these parameters, and else computed and kept
    there, as the calibration of probabilities is in calibration.json.

    Args:
        workdir: the folder of the run.
        name: what it is called on the page.
        seed: of everything that is drawn.
        images: a folder of images, as for `pictures.source`.
        index: likewise.
        picture_bytes: at most so many bytes of pictures.
        announce: told each of STEPS when it begins.
        progress: wraps the blocks of test triples that are ranked, for a progress bar.

    Raises:
        InputError: there is no run or no whole checkpoint, a file of it cannot be used, or a score is not finite.
    """
    announce('reading')
    run, state = load_run(workdir)
    names, pictures, not_served = read_names(run.config.data, run.graph), source(run, images, index), {}

    def serve(section, make, *arguments):
        announce(section)
        try:
            return make(*arguments)
        except NotServable as reason:
            not_served[section] = str(reason)
            return None

    curves = serve('curves', read_curves, workdir / 'metrics.jsonl')
    announce('ranking test')
    results, ranked = _results(run, state, workdir, seed, progress)
    scores = serve('scores', sample_scores, run, state.params, seed)
    choice = serve('choice', adaptive_choice, run, state.params, seed)
    entity_map = serve('map', map_entities, run, state.params, seed)
    candidates = embed_candidates(run.model, {PARAMS: state.params, FROZEN: run.data.frozen})
    predictor = Predictor(run, state.params, candidates, workdir, int(state.step))
    examples = serve('examples', find_examples, predictor, ranked, seed)
    wanted = [id for several in examples.values() for example in several for id in _entities(example)]
    return RunReport(
        name=name,
        workdir=workdir,
        config=run.config,
        graph=run.graph,
        ground=_ground(run.graph),
        names=names,
        step=int(state.step),
        epoch=int(state.step) / run.steps_per_epoch,
        results=results,
        provenance=_provenance(workdir),
        curves=curves,
        scores=scores,
        choice=choice,
        entity_map=entity_map,
        examples=examples,
        pictures=addresses(pictures, [*wanted, *entity_map.entities.tolist()], picture_bytes) if pictures else {},
        not_served=not_served,
    )


def _results(run, state, workdir, seed, progress) -> tuple[dict, np.ndarray]:
    """The results of link prediction, from the workdir where they are there, and the ranks float64[2, N] in any case.

    Every rank has to be counted for the examples, which is most of the work; what stands in the file is not
    computed again.
    """
    path = results_path(workdir, SPLIT)
    kept, triples = read_results(path), run.graph.split(SPLIT)
    parameters = parameters_digest(state.params, run.graph.num_entities)
    is_fresh = kept.get('parameters') == parameters and kept.get('triples') == len(triples)
    if is_fresh and _is_whole(kept['tasks'].get(_LINKS), run.config.ties):
        counts = predict_links(run.model, state.params, run.data.frozen, run.graph, triples, run.known, progress)
        return kept, ranks(counts.better, counts.tied, run.config.ties)
    # A seed that its other results have is taken on, so that they can stand beside these.
    seed = kept.get('seed', seed) if is_fresh else seed
    trial = Trial(run, state.params, SPLIT, [_LINKS], seed, progress=progress)
    results = with_earlier_tasks(judge(trial, int(state.step)), kept)
    try:
        write_json(path, results)
    except InputError as error:
        logging.warning('the evaluation is not kept: %s', error)
    tally = trial.tallies['filtered']
    return results, ranks(tally.better, tally.tied, run.config.ties)


def _is_whole(links, ties) -> bool:
    """Whether results of link prediction have all that the page shows; those of another version may not."""
    try:
        parts = [links[protocol][part] for protocol, part in PARTS] + [
            metrics for kind in GROUPS for metrics in links['filtered'][kind].values()
        ]
        return links['ties_of_metrics'] == ties and all({*METRICS, 'count'} <= set(part) for part in parts)
    except (KeyError, TypeError, AttributeError):
        return False


def _entities(example):
    head, _, tail = example.triple
    return [head, tail, *(answer.entity for answer in example.answers)]


def _ground(graph) -> str:
    """What tells whether two results are about the same: labels and test triples, whatever the features."""
    digest = hashlib.sha256()
    for labels in (graph.entities, graph.relations):
        digest.update('\n'.join(labels).encode() + b'\0')
    digest.update(np.ascontiguousarray(graph.test).data)
    return digest.hexdigest()


def _provenance(workdir) -> dict:
    """What provenance.json tells, or nothing: the page does not depend on it."""
    try:
        return dict(json.loads((workdir / 'provenance.json').read_text()))
    except (OSError, ValueError, TypeError):
        return {}
