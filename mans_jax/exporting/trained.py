"""What a trained run has to give: its entities and relations as they are scored, and where they come from."""

import dataclasses
import functools
from pathlib import Path

import numpy as np

from mans_jax import __version__
from mans_jax.errors import NonFiniteScore
from mans_jax.models import FROZEN, PARAMS
from mans_jax.prediction.embedded import Embedded, embed_relations
from mans_jax.runs import Run, load_run
from mans_jax.scoring import ROTATE
from mans_jax.tasks.link_prediction import embed_candidates


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained run, its entities embedded; made by `load` or `embed`.

    Attributes:
        name: of the run's folder.
        run: its graph and model.
        step: of its checkpoint.
        embedded: all entities and relations as the model scores them.
    """

    name: str
    run: Run
    step: int
    embedded: Embedded

    @functools.cached_property
    def vectors(self) -> np.ndarray:
        """The entities as the model scores them, float32[E, M, D]; what stands for an absent modality means nothing."""
        return self._rows(self.embedded.entities.columns)

    @functools.cached_property
    def scored(self) -> np.ndarray:
        """Whether an entity is scored by a modality, bool[E, M]; with a stand-in for absent ones, it always is."""
        return self._rows(self.embedded.entities.present)

    @functools.cached_property
    def relations(self) -> np.ndarray:
        """The relations as the model scores them, float32[R, W]."""
        return np.asarray(self.embedded.relations)

    def _rows(self, blocks) -> np.ndarray:
        rows = np.moveaxis(np.asarray(blocks), -1, 1)
        return rows.reshape(-1, *rows.shape[2:])[: self.run.graph.num_entities]

    def record(self) -> dict:
        """What these vectors are and where they come from, as JSON has it."""
        config, graph = self.run.config, self.run.graph
        length = ', divided by its Euclidean norm' if config.normalize else ''
        return {
            'mans_jax': __version__,
            'run': self.name,
            'step': self.step,
            'graph': graph.name,
            'graph_checksum': graph.checksum(),
            'score': config.score,
            'dim': config.dim,
            'modalities': list(graph.modalities),
            'normalized': config.normalize,
            'absent': config.absent,
            'entity_vectors': 'as they are scored: the learned row for structure, '
            f'a projection of the features for any other modality{length}',
            'relation_vectors': 'one for all modalities: angles in radians'
            if self.run.model.score is ROTATE
            else f'one for all modalities, as they are scored: the learned row{length}',
        }


def load(workdir) -> Trained:
    """Reads a trained run and embeds its entities.

    Args:
        workdir: the folder of the run.

    Raises:
        InputError: as `runs.load_run` and `embed`.
    """
    run, state = load_run(workdir)
    return embed(Path(workdir).resolve().name, run, state.params, int(state.step))


def embed(name: str, run: Run, params: dict, step: int) -> Trained:
    """A run with its entities and relations embedded.

    Raises:
        NonFiniteScore: a vector is not finite.
    """
    variables = {PARAMS: params, FROZEN: run.data.frozen}
    embedded = Embedded(embed_candidates(run.model, variables), embed_relations(run.model, variables))
    trained = Trained(name, run, step, embedded)
    for kind, labels, vectors in (
        ('entity', run.graph.entities, trained.vectors),
        ('relation', run.graph.relations, trained.relations),
    ):
        bad = np.argwhere(~np.isfinite(vectors))
        if len(bad):
            raise NonFiniteScore(
                f'{name}: the vector of {kind} {labels[bad[0, 0]]} is not finite: the training has diverged; '
                f'lower config.learning_rate, or look at the gradient norms in metrics.jsonl'
            )
    return trained
