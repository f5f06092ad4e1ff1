"""DHNS: a sampler that makes intruders up, as vectors, by a diffusion model of its own.

A denoiser learns to tell the noise in a noisy vector of an entity, given what the entity should look like beside the
kept one and the relation. Run from pure noise it makes vectors that resemble the true entity; the earlier a chain is
left, the less they do.

See "Diffusion-based Hierarchical Negative Sampling for Multimodal Knowledge Graph Completion", Niu, Zhang, 2025
(arXiv 2501.15393). What differs here:

- The published code also scores triples whose head and tail are both made up; a `Corruption` has one side. It makes
  heads out of the tails' chain; here each side has a chain of its own.
- Its condition for TransE is t = h - r and h = t + r, for RotatE the other way round; here it is what the score
  compares candidates with, h + r and t - r.
- It adds noise of variance 1 to vectors as they are. Here they are first divided by the root mean square of their
  modality in the batch, and what is made is multiplied by it, so that it is the same problem at any scale.
- The gradient of its denoiser's loss also reaches the model, whose gradients it does not clear in between; here none
  leaves the sampler. Its ten steps of the denoiser for each of the model's return after the first; here it is one.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int

from mans_jax.graph import HEAD, TAIL, Triple
from mans_jax.sampling.corruption import Corruption, Sampler, View

FIRST_BETA, LAST_BETA = 1e-4, 0.02
"""The variance of the noise that the first and the last step add, linear in between."""

LEVEL_WEIGHTS = (0.0, 0.5, 1.0, 1.0, 0.5)
LEVEL_MARGINS = (0.1, 0.3, 0.5, 0.7, 0.9)
"""From the hardest level, what resembles the true entity most, to the easiest."""

_TINY = 1e-12


def dhns(
    base: Sampler,
    *,
    num_modalities: int,
    dim: int,
    present: Bool[Array, 'E M'] | None = None,
    steps: int = 50,
    weight: float = 0.01,
    learning_rate: float = 2e-3,
) -> Sampler:
    """Adds five generated negatives, of five levels of hardness, to those of another sampler.

    They are the states of one chain of `steps` steps T at its end and T/10, T/8, T/4 and T/2 steps before; they weigh
    LEVEL_WEIGHTS / 4 times `weight` against 1 for all of the base's together, and have LEVEL_MARGINS of the loss's
    margin. They take the side of the base's first negative, which stands in for them in `Corruption.apply`.

    After the draw the denoiser has a step of Adam on the batch: the mean absolute error of the noise that it finds in
    the vectors of heads and tails, summed over sides and modalities. An entity's modality that it lacks is left out.

    The state holds the base's state, the denoiser and the state of its optimiser.

    Args:
        base: the sampler whose negatives come first.
        num_modalities: M.
        dim: D, the width of the served model's entity vectors.
        present: which entity has which modality; None where all have all.
        steps: T.
        weight: of the generated negatives against the others.
        learning_rate: of the denoiser's Adam.

    Raises:
        ValueError: an option cannot be used.
    """
    if steps < 1 or weight < 0 or learning_rate <= 0:
        raise ValueError(
            f'steps={steps} must be at least 1, weight={weight} at least 0 and learning_rate={learning_rate} above 0'
        )
    schedule, optimizer = linear_schedule(steps), optax.adam(learning_rate)

    def init(key: Array):
        base_key, denoiser_key = jax.random.split(key)
        denoiser = _random_denoiser(denoiser_key, dim)
        return {'base': base.init(base_key), 'denoiser': denoiser, 'optimizer': optimizer.init(denoiser)}

    def sample(state, key: Array, positives: Triple, view: View):
        base_key, chain_key, learn_key = jax.random.split(key, 3)
        corruption, base_state = base.sample(state['base'], base_key, positives, view)
        pair = _look_at(positives, view, present, num_modalities)

        at_head = (corruption.side[:, 0] == HEAD)[:, None, None]
        condition = jnp.where(at_head, pair.condition[HEAD], pair.condition[TAIL])
        made = pair.scale * generate(chain_key, state['denoiser'], schedule, condition)

        gradient = jax.grad(lambda denoiser: _denoiser_loss(learn_key, denoiser, schedule, pair))(state['denoiser'])
        updates, optimizer_state = optimizer.update(gradient, state['optimizer'], state['denoiser'])
        denoiser = optax.apply_updates(state['denoiser'], updates)
        state = {'base': base_state, 'denoiser': denoiser, 'optimizer': optimizer_state}
        return _append(corruption, jnp.moveaxis(made, 0, 1), weight), state

    return Sampler(init, sample)


class Schedule(NamedTuple):
    """How much noise there is after each of T steps.

    Attributes:
        beta: float32[T], the variance that step t adds, at index t - 1.
        alpha_bar: float32[T], the share of the variance after step t that is not noise.
    """

    beta: np.ndarray
    alpha_bar: np.ndarray


def linear_schedule(steps: int) -> Schedule:
    """The schedule of T steps. 50 of them leave 0.6 of the variance, although `generate` begins with noise alone."""
    beta = np.linspace(FIRST_BETA, LAST_BETA, steps)
    return Schedule(beta.astype(np.float32), np.cumprod(1 - beta).astype(np.float32))


def add_noise(
    schedule: Schedule, vectors: Float[Array, '... D'], step: Int[Array, '...'], noise: Float[Array, '... D']
) -> Float[Array, '... D']:
    """Vectors after `step` steps of noise, in [1, T]: sqrt(alpha_bar) x + sqrt(1 - alpha_bar) noise."""
    alpha_bar = jnp.asarray(schedule.alpha_bar)[step - 1][..., None]
    return jnp.sqrt(alpha_bar) * vectors + jnp.sqrt(1 - alpha_bar) * noise


def remove_noise(
    schedule: Schedule,
    vectors: Float[Array, '... D'],
    step: Int[Array, ''],
    found: Float[Array, '... D'],
    noise: Float[Array, '... D'],
) -> Float[Array, '... D']:
    """One step back: (x - beta / sqrt(1 - alpha_bar) found) / sqrt(1 - beta) + sqrt(beta) noise, no noise in the last.

    Args:
        schedule: of T steps.
        vectors: after `step` steps of noise.
        step: in [1, T].
        found: the noise that a denoiser finds in the vectors.
        noise: normal.
    """
    beta, alpha_bar = jnp.asarray(schedule.beta)[step - 1], jnp.asarray(schedule.alpha_bar)[step - 1]
    mean = (vectors - beta / jnp.sqrt(1 - alpha_bar) * found) / jnp.sqrt(1 - beta)
    return mean + jnp.where(step > 1, jnp.sqrt(beta), 0) * noise


def levels(steps: int) -> tuple[int, ...]:
    """After how many steps of noise the five levels are taken from a chain: 0, T/10, T/8, T/4, T/2."""
    return 0, steps // 10, steps // 8, steps // 4, steps // 2


def generate(
    key: Array, denoiser: dict, schedule: Schedule, condition: Float[Array, 'B M D']
) -> Float[Array, '5 B M D']:
    """The states of a chain that begins with pure noise, at the five levels."""
    start_key, steps_key = jax.random.split(key)

    def step_back(i, vectors, first):
        step = first - i
        noise = jax.random.normal(jax.random.fold_in(steps_key, step), vectors.shape)
        found = find_noise(denoiser, vectors, jnp.broadcast_to(step, vectors.shape[:-1]), condition)
        return remove_noise(schedule, vectors, step, found, noise)

    vectors, first, states = jax.random.normal(start_key, condition.shape), len(schedule.beta), []
    for last in levels(first)[::-1]:
        vectors = jax.lax.fori_loop(0, first - last, lambda i, x, first=first: step_back(i, x, first), vectors)
        first = last
        states.append(vectors)
    return jnp.stack(states[::-1])


def find_noise(
    denoiser: dict, vectors: Float[Array, '... D'], step: Int[Array, '...'], condition: Float[Array, '... D']
) -> Float[Array, '... D']:
    """The noise in vectors, by two layers over vector, number of the step and condition, side by side."""
    clock = _dense(denoiser['clock_2'], jax.nn.gelu(_dense(denoiser['clock_1'], _waves(step, vectors.shape[-1]))))
    hidden = _normalized(denoiser['norm_1'], jnp.concatenate([vectors, clock, condition], axis=-1))
    hidden = _normalized(denoiser['norm_2'], jax.nn.relu(_dense(denoiser['layer_1'], hidden)))
    return _dense(denoiser['output'], _dense(denoiser['layer_2'], hidden))


class _Pair(NamedTuple):
    """What a batch's ends look like and should look like, by side: first the heads', then the tails'.

    Attributes:
        true: float[2, B, M, D], vectors of root mean square 1.
        condition: float[2, B, M, D], what they should look like, on the same scale.
        counts: bool[2, B, M], whether an entity and the one that its condition is made from have the modality.
        scale: float[M], the root mean square of the model's vectors.
    """

    true: Float[Array, '2 B M D']
    condition: Float[Array, '2 B M D']
    counts: Bool[Array, '2 B M']
    scale: Float[Array, 'M 1']


def _look_at(positives, view, present, num_modalities) -> _Pair:
    ends, kept = jnp.stack([positives.head, positives.tail]), jnp.stack([positives.tail, positives.head])
    side = jnp.array([[HEAD], [TAIL]]) + jnp.zeros_like(ends)
    true = view.entity_vectors(ends)
    condition = view.query_vectors(side, kept, jnp.broadcast_to(positives.relation, ends.shape))
    counts = jnp.ones((*ends.shape, num_modalities), bool) if present is None else present[ends] & present[kept]
    total = jnp.sum(jnp.where(counts[..., None], jnp.square(true), 0), axis=(0, 1))
    number = jnp.maximum(jnp.sum(counts, axis=(0, 1)), 1)[:, None] * true.shape[-1]
    scale = jnp.sqrt(jnp.sum(total, axis=-1, keepdims=True) / number + _TINY)
    return _Pair(true / scale, condition / scale, counts, scale)


def _denoiser_loss(key, denoiser, schedule, pair) -> Float[Array, '']:
    step_key, noise_key = jax.random.split(key)
    step = jax.random.randint(step_key, pair.counts.shape[1:], 1, len(schedule.beta) + 1)
    noise = jax.random.normal(noise_key, pair.true.shape[1:])
    # The same noise on heads and on tails, as the published code has it.
    noisy = add_noise(schedule, pair.true, step, noise)
    found = find_noise(denoiser, noisy, jnp.broadcast_to(step, pair.counts.shape), pair.condition)
    error = jnp.mean(jnp.abs(found - noise), axis=-1)
    number = jnp.maximum(jnp.sum(pair.counts, axis=1), 1)
    return jnp.sum(jnp.sum(jnp.where(pair.counts, error, 0), axis=1) / number)


def _append(corruption, vectors, weight) -> Corruption:
    """The corruption with generated negatives float[B, 5, M, D] behind its own."""
    batch_size, num_negatives = corruption.entity.shape
    number = len(LEVEL_WEIGHTS)

    def joined(own, generated):
        return jnp.concatenate([own, generated], axis=1)

    def repeated(first):
        return joined(first, jnp.repeat(first[:, :1], number, axis=1))

    own_weight, own_margin = (
        jnp.ones(corruption.entity.shape) if x is None else x for x in (corruption.weight, corruption.margin_scale)
    )
    level_weight = jnp.array(LEVEL_WEIGHTS) * (num_negatives * weight / np.count_nonzero(LEVEL_WEIGHTS))
    stands_in = own_weight[:, :1] > 0
    if corruption.vectors is not None:
        vectors = joined(corruption.vectors, vectors)
    return Corruption(
        entity=repeated(corruption.entity),
        side=repeated(corruption.side),
        replaced=joined(corruption.replaced, jnp.ones((batch_size, number, corruption.replaced.shape[-1]), bool)),
        weight=joined(own_weight, jnp.where(stands_in, level_weight, 0)),
        margin_scale=joined(own_margin, jnp.broadcast_to(jnp.array(LEVEL_MARGINS), (batch_size, number))),
        vectors=vectors,
    )


def _random_denoiser(key, dim):
    widths = {
        'clock_1': (dim, dim),
        'clock_2': (dim, dim),
        'layer_1': (3 * dim, 4 * dim),
        'layer_2': (4 * dim, dim),
        'output': (dim, dim),
    }
    denoiser = {
        f'norm_{i}': {'scale': jnp.ones(width), 'bias': jnp.zeros(width)} for i, width in ((1, 3 * dim), (2, 4 * dim))
    }
    for name, layer_key in zip(widths, jax.random.split(key, len(widths)), strict=True):
        bound = widths[name][0] ** -0.5
        kernel_key, bias_key = jax.random.split(layer_key)
        denoiser[name] = {
            'kernel': jax.random.uniform(kernel_key, widths[name], minval=-bound, maxval=bound),
            'bias': jax.random.uniform(bias_key, widths[name][1:], minval=-bound, maxval=bound),
        }
    return denoiser


def _dense(layer, x):
    return x @ layer['kernel'] + layer['bias']


def _normalized(layer, x):
    return layer['scale'] * jax.nn.standardize(x, axis=-1) + layer['bias']


def _waves(step, width) -> Float[Array, '... D']:
    """Sines and cosines of the number of a step at wavelengths from 2 pi to 20,000 pi."""
    half = -(-width // 2)
    frequency = 10000.0 ** -jnp.linspace(0, 1, half)
    angle = step[..., None] * frequency
    return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)[..., :width]
