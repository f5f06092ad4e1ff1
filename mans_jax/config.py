"""A recipe: every setting of a run, its default, and whether it makes sense."""

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path

import ml_collections

from mans_jax.data.ratios import check_ratios
from mans_jax.errors import InputError, check_name
from mans_jax.losses import LOGISTIC, LOSSES, WITH_MARGIN
from mans_jax.models import ABSENT, LEFT_OUT
from mans_jax.objectives import OBJECTIVES, SCORES_FOR
from mans_jax.optim import OPTIMIZERS, ROW_SPARSE
from mans_jax.projection import FLOAT32, PRECISIONS
from mans_jax.ranking import TIES
from mans_jax.samplers import NORMAL, STRATEGIES, SamplerText, parse, with_strategy
from mans_jax.sampling.mans import COUNT, PER_SAMPLE
from mans_jax.scoring import SCORES
from mans_jax.sharding import check_batch

HONEST, REFERENCE = 'honest', 'reference'
CLEAN, PUBLISHED = 'clean', 'published'


@dataclasses.dataclass(frozen=True)
class Config:
    """The settings of a run. Frozen, and valid once `validate` has returned.

    The defaults are the recipe of the MANS paper for DB15K.
    """

    # The graph: 'digits', 'synthetic:...', a folder (OpenKE, TSV, CSV, N-Triples) or one file of labelled triples.
    data: str = ''
    # Shares of train, valid and test in one file. The draw is the same for every seed, so that runs can be compared.
    split_ratios: tuple = (0.8, 0.1, 0.1)
    # Modality name -> file (.npy, .safetensors, ...) with one row an entity; an empty name leaves the modality out.
    features: Mapping[str, str] = dataclasses.field(default_factory=dict)
    # 'clean' leaves evaluation triples that leaked into train or into the other split out; 'published' keeps them.
    splits: str = CLEAN
    # 'reference' sets splits, ties, with_replacement and evaluate_every to the habits of the published MANS code.
    protocol: str = HONEST

    # The model.
    score: str = 'transe_l1'
    dim: int = 128
    normalize: bool = True
    # What stands for a modality that an entity lacks: 'left_out' scores it by its others alone, on the same scale;
    # 'learned' puts a learned vector in place, 'mean' the mean of the features.
    absent: str = LEFT_OUT
    # 'bfloat16' keeps features so and multiplies matrices so; tables, sums and the optimiser stay float32.
    precision: str = FLOAT32

    # Negatives: the text of a sampler (see samplers.py), and K of those whose text names none.
    sampler: str = 'bernoulli'
    num_negatives: int = 1
    strategy: str = NORMAL
    # beta: of the training (mans_t) or of the negatives (mans_h), the share that is virtual.
    share: float = 0.3
    # Whether a virtual negative may take a modality from an entity that lacks it, or give one to such an entity.
    exchange_absent: bool = False
    # How mans_a marks negatives ('count' or 'per_sample') and which ones it selects.
    marks: str = COUNT
    where_cross_is_closer: bool = True

    # The loss: margin in the unit of the score; temperature for 'self_adversarial' alone. 'one_vs_all' and 'k_vs_all'
    # are cross entropies over all entities, 'non_sampling' is a squared error over all triples, in which one that is no
    # fact weighs non_fact_weight: these three take no negatives.
    loss: str = 'margin_ranking'
    margin: float = 12.0
    temperature: float = 1.0
    non_fact_weight: float = 1e-4
    # EANS's prediction of false negatives, for the logistic losses and samplers that mark known triples: the weight of
    # learning which entities may stand for each other (the paper's is 1; 0: nothing of it), and by which share of that
    # score a negative is excused.
    substitution_weight: float = 0.0
    substitution_share: float = 0.1

    # Training. lazy_adam, sparse_adagrad, rowwise_adagrad and sparse_sgd touch only the rows of a step's own entities.
    optimizer: str = 'adam'
    learning_rate: float = 1.0
    batch_size: int = 181
    num_epochs: int = 1000
    with_replacement: bool = False
    seed: int = 0
    # The devices that share the work, as 'data=2,entity=4': batches are cut along the first axis, entity tables and
    # features along the second. Empty: one device.
    mesh: str = ''
    # What training may fill of the device's memory, in GB of 10^9 bytes (0: all of it). Features that do not fit beside
    # the entity table and the triples stay on the host, and the rows that the next steps name are fetched. So does the
    # table itself where it does not fit either, and the optimiser is one of those that touch rows.
    device_memory_gb: float = 0.0
    # Whether the train triples and their index stay on the host, where batches and negatives are then drawn. They come
    # in another random order, so that this is another run, unlike with any other limit.
    stream_triples: bool = False

    # Evaluation on valid every so many epochs (0: never, and the last state is tested). Training stops after
    # `patience` evaluations without a better MRR (0: never).
    evaluate_every: int = 100
    patience: int = 0
    ties: str = 'realistic'

    # Epochs between checkpoints (0: only at evaluations and at the end), and how many of the last ones stay.
    checkpoint_every: int = 50
    keep_checkpoints: int = 2

    def __post_init__(self):
        # JSON has no tuples.
        object.__setattr__(self, 'split_ratios', tuple(self.split_ratios))

    def validate(self) -> 'Config':
        """Returns this config, with `protocol='reference'` spelled out.

        Raises:
            InputError: a field cannot be used.
        """
        if not self.data:
            raise InputError("config.data is empty: name a folder with a graph, or 'digits'")
        for field, names in _CHOICES.items():
            check_name(f'config.{field}', getattr(self, field), names)
        parse(self.sampler)
        for field, lowest in _LOWEST.items():
            if not lowest <= getattr(self, field) < math.inf:
                raise InputError(f'config.{field} is {getattr(self, field)}, but must be finite and at least {lowest}')
        if not 0 < self.learning_rate < math.inf:
            raise InputError(f'config.learning_rate is {self.learning_rate}, but must be above 0 and finite')
        if self.seed >= 2**32:
            # JAX would take the remainder, so that two seeds gave one run.
            raise InputError(f'config.seed is {self.seed}, but must be below 2**32')
        if not 0 <= self.share <= 1:
            raise InputError(f'config.share is {self.share}, but is a share between 0 and 1')
        if self.score in ('complex', 'rotate') and self.dim % 2:
            raise InputError(f'config.dim is {self.dim}, but {self.score} needs an even one: real and imaginary parts')
        if self.loss in OBJECTIVES:
            self._check_objective()
        elif self.loss not in WITH_MARGIN and parse(self.sampler).holds('own_margin'):
            raise InputError(
                f'config.sampler is {self.sampler!r}, but loss {self.loss} has no margin of which own_margin could '
                f'take a share: leave it out, or take one of {", ".join(WITH_MARGIN)}'
            )
        if self.substitution_weight:
            self._check_substitution()
        check_ratios(self.split_ratios, 'config.split_ratios')
        check_batch(self.mesh, self.batch_size)
        if self.mesh and self.device_memory_gb:
            raise InputError(
                f'config.device_memory_gb is {self.device_memory_gb}, but config.mesh is {self.mesh!r}, where every '
                f'device has its share of the features: set device_memory_gb to 0, or leave the mesh empty'
            )
        if self.protocol == REFERENCE:
            return dataclasses.replace(
                self, splits=PUBLISHED, ties='optimistic', with_replacement=True, evaluate_every=0, patience=0
            )
        return self

    def _check_objective(self):
        scores, why = SCORES_FOR[self.loss]
        if self.score not in scores:
            raise InputError(f'config.score is {self.score!r}, but loss {self.loss} is for {", ".join(scores)}: {why}')
        if self.loss == 'non_sampling' and self.score == 'transe_l2' and not self.normalize:
            raise InputError('config.normalize is False, but loss non_sampling takes transe_l2 with unit vectors alone')
        if self.optimizer in ROW_SPARSE:
            raise InputError(
                f'config.optimizer is {self.optimizer!r}, but loss {self.loss} moves the rows of all entities: '
                f'take one of {_DENSE}'
            )
        for field, without in (('strategy', NORMAL), ('sampler', Config.sampler)):
            if getattr(self, field) != without:
                raise InputError(
                    f'config.{field} is {getattr(self, field)!r}, but loss {self.loss} takes no negatives: '
                    f'set it to {without}'
                )

    def _check_substitution(self):
        is_weight = f'config.substitution_weight is {self.substitution_weight}'
        if self.loss not in LOGISTIC:
            raise InputError(
                f'{is_weight}, but loss {self.loss} has no false negatives to predict: take one of '
                f'{", ".join(LOGISTIC)}, or set it to 0'
            )
        if not parse(self.sampler).marks_known():
            raise InputError(
                f'{is_weight}, but sampler {self.sampler!r} shows no known triples to learn from, as eans, in_batch '
                f'and the pools do: take one of them, or set it to 0'
            )

    def sampler_text(self) -> SamplerText:
        """The whole sampler: the strategy around `sampler`."""
        return with_strategy(parse(self.sampler), self.strategy, dataclasses.asdict(self))

    def to_json(self) -> str:
        """The config as JSON text."""
        return json.dumps(dataclasses.asdict(self), indent=2) + '\n'


_DENSE = ', '.join(name for name in OPTIMIZERS if name not in ROW_SPARSE)

_CHOICES = {
    'splits': (CLEAN, PUBLISHED),
    'protocol': (HONEST, REFERENCE),
    'score': SCORES,
    'absent': ABSENT,
    'precision': PRECISIONS,
    'strategy': STRATEGIES,
    'marks': (COUNT, PER_SAMPLE),
    'loss': {**LOSSES, **OBJECTIVES},
    'optimizer': OPTIMIZERS,
    'ties': TIES,
}

_LOWEST = {
    'dim': 1,
    'num_negatives': 1,
    'margin': 0,
    'temperature': 0,
    'non_fact_weight': 0,
    'substitution_weight': 0,
    'substitution_share': 0,
    'batch_size': 1,
    'device_memory_gb': 0,
    'num_epochs': 1,
    'seed': 0,
    'evaluate_every': 0,
    'patience': 0,
    'checkpoint_every': 0,
    'keep_checkpoints': 1,
}

_FREE_ON_RESUME = (
    'num_epochs',
    'evaluate_every',
    'patience',
    'checkpoint_every',
    'keep_checkpoints',
    'mesh',
    'device_memory_gb',
)
"""What a resumed run may change: it changes neither shapes nor data nor what a step does.

`num_epochs` belongs here although mans_t reads it as progress: to train on is what a resume is for.
"""


def default_config(**overrides) -> ml_collections.ConfigDict:
    """All fields with their defaults, as the locked ConfigDict that a file in configs/ returns.

    Args:
        **overrides: fields that differ from the default. `features` also takes names with an empty file, to be filled
            in by `--config.features.NAME=FILE`.
    """
    fields = {field.name: field.default for field in dataclasses.fields(Config) if field.name != 'features'}
    config = ml_collections.ConfigDict({**fields, 'features': {}})
    for name, value in overrides.items():
        config[name] = ml_collections.ConfigDict(value) if name == 'features' else value
    return config.lock()


def from_config_dict(config: ml_collections.ConfigDict) -> Config:
    """The validated dataclass of a ConfigDict.

    Raises:
        InputError: a field is unknown, has the wrong type or a value that cannot be used.
    """
    return from_fields(dict(config.items()))


def from_fields(values: Mapping, where: str = 'config') -> Config:
    """The validated dataclass of fields by name; `where` they stand is named in errors.

    Raises:
        InputError: a field is unknown, has the wrong type or a value that cannot be used.
    """
    fields = {field.name: field for field in dataclasses.fields(Config)}
    for name in values:
        check_name(where, name, fields, kind='field')
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    for name, value in values.items():
        want = dict if name == 'features' else fields[name].type
        if name == 'features' and isinstance(value, Mapping | ml_collections.ConfigDict):
            continue
        if not isinstance(value, (int, float) if want is float else want):
            raise InputError(f'{where}.{name} is {value!r}, but must be of type {want.__name__}')
    features = {name: path for name, path in dict(values.get('features', {})).items() if path}
    return Config(**{**values, 'features': features}).validate()


def check_resumable(config: Config, workdir: Path) -> None:
    """Refuses to go on with a run whose settings were others.

    Raises:
        InputError: naming the first field that differs and matters.
    """
    path = workdir / 'config.json'
    try:
        before = dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f'{path}: cannot be read ({error}), so the run in {workdir} cannot be resumed') from None
    # A field that has come since then had its default, whose meaning is always that of before.
    before = {field.name: field.default for field in dataclasses.fields(Config) if field.name != 'features'} | before
    before = {name: tuple(value) if isinstance(value, list) else value for name, value in before.items()}
    now = dataclasses.asdict(config)
    for name in now:
        if name not in _FREE_ON_RESUME and before.get(name) != now[name]:
            raise InputError(
                f'config.{name} is {now[name]!r}, but the run in {workdir} has {before.get(name)!r}: '
                f'set it back, or choose another --workdir'
            )
