"""What a training step may minimise without any sampled negative: losses over all entities, and over all triples.

An objective is (model, variables, known, positives) -> float[]; `known` are the triples of the training set.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mans_jax import fusion
from mans_jax.graph import HEAD, TAIL, KnownTriples, Triple
from mans_jax.losses import binary_cross_entropy, cross_entropy
from mans_jax.models import MultiModalEmbedding
from mans_jax.non_sampling import SQUARE_FORMS, form_of, moments
from mans_jax.ranking import Queries
from mans_jax.scoring import SCORES

QUERIES_PER_BLOCK = 128
"""Of how many queries the scores of all entities are in memory at a time, in the gradient too."""


def one_vs_all(model: MultiModalEmbedding, variables: dict, known: KnownTriples, positives: Triple) -> Float[Array, '']:
    """Cross entropy of the true head and of the true tail among all entities, the mean over both queries of the batch.

    The other known answers of a query count as wrong, as in "Canonical Tensor Decomposition for Knowledge Base
    Completion", Lacroix et al., 2018 (arXiv 1806.07297).

    Args:
        model: the model.
        variables: its parameters and features.
        known: not looked at.
        positives: Triple of int32[B].
    """

    def term(scores, queries, answer):
        return cross_entropy(scores, answer), jnp.ones(answer.shape)

    return _mean_over_queries(model, variables, positives, term)


def k_vs_all(model: MultiModalEmbedding, variables: dict, known: KnownTriples, positives: Triple) -> Float[Array, '']:
    """Binary cross entropy of all entities as answers of a query, its known answers being true: the mean over queries.

    See "Convolutional 2D Knowledge Graph Embeddings", Dettmers et al., 2018 (arXiv 1707.01476), without smoothed
    labels. There a batch is of distinct queries; here it is of triples, and a query with n answers, which is asked n
    times in an epoch, weighs 1/n, so that all count alike.

    Args:
        model: the model; its scores must be of both signs.
        variables: its parameters and features.
        known: the triples that are true.
        positives: Triple of int32[B].
    """

    def term(scores, queries, answer):
        start, count = known.find(*queries)
        labels = known.answers_among(start, count, jnp.arange(known.num_entities))
        return binary_cross_entropy(scores, labels), 1 / jnp.maximum(count, 1)

    return _mean_over_queries(model, variables, positives, term)


def non_sampling(
    model: MultiModalEmbedding, variables: dict, known: KnownTriples, positives: Triple, *, non_fact_weight: float
) -> Float[Array, '']:
    """NS-KGE: the squared error of facts and of all other triples of the graph, per fact.

    sum over pairs of modalities of mean over facts of (y - x)^2 + c / N sum over other triples of x^2, where x is the
    score of the pair in its `SquareForm`, y the value for facts, and c `non_fact_weight`. The sum over all triples is
    in closed form; that over facts is estimated by the batch, which the published code takes to be the whole training
    set. A pair of modalities weighs what it weighs in the model's score.

    See "Efficient Non-Sampling Knowledge Graph Embedding", Li et al., 2021 (arXiv 2104.10796).

    Args:
        model: the model, whose score must have a SquareForm.
        variables: its parameters and features.
        known: the N facts.
        positives: Triple of int32[B], facts.
        non_fact_weight: c.
    """
    form = form_of(model.score)
    num_facts = known.answers.shape[0] // 2

    def embed_all(module):
        return module.embed_all(), module.relations(jnp.arange(module.num_relations))

    views, relations = model.apply(variables, method=embed_all)
    weights = fusion.weights(views.present)
    heads, relation, tails = form.spread(views.vectors, relations, views.vectors)
    of_relations = moments(relation)
    sides = [[moments(vectors[:, m], weights[:, m]) for m in range(vectors.shape[1])] for vectors in (heads, tails)]
    of_all = sum(form.sum_of_squares(head, of_relations, tail) for head in sides[0] for tail in sides[1])

    head, tail = heads[positives.head][:, :, None], tails[positives.tail][:, None]
    score = form.score(head, relation[positives.relation][:, None, None], tail)
    of_facts = jnp.square(form.fact - score) - non_fact_weight * jnp.square(score)
    pair_weight = weights[positives.head][:, :, None] * weights[positives.tail][:, None]
    return jnp.mean(jnp.sum(pair_weight * of_facts, axis=(1, 2))) + non_fact_weight / num_facts * of_all


OBJECTIVES: dict[str, Callable[[float], Callable]] = {
    'one_vs_all': lambda non_fact_weight: one_vs_all,
    'k_vs_all': lambda non_fact_weight: k_vs_all,
    'non_sampling': lambda non_fact_weight: partial(non_sampling, non_fact_weight=non_fact_weight),
}
"""The names that `config.loss` may hold besides those of `losses.LOSSES`: non_fact_weight -> objective."""

SCORES_FOR = {
    'one_vs_all': (tuple(SCORES), ''),
    'k_vs_all': (('distmult', 'complex'), 'it needs scores of both signs'),
    'non_sampling': (tuple(SQUARE_FORMS), 'its sum over all triples has a closed form for those alone'),
}
"""Which score functions an objective is for, and why for no others."""


def _mean_over_queries(model, variables, positives, term) -> Float[Array, '']:
    """The weighted mean over the 2B queries of a batch, a block of them at a time.

    `term(scores [Q, E], queries, answer [Q])` returns what each query adds and weighs, [Q] both.
    """
    both = jnp.concatenate
    side = jnp.repeat(jnp.array([HEAD, TAIL]), positives.head.shape[0])
    queries = Queries(side, both([positives.tail, positives.head]), both([positives.relation] * 2))
    queries_and_answers = (*queries, both([positives.head, positives.tail]))
    padding = -len(side) % QUERIES_PER_BLOCK
    blocks = [jnp.pad(ids, (0, padding)).reshape(-1, QUERIES_PER_BLOCK) for ids in queries_and_answers]
    is_real = (jnp.arange(len(side) + padding) < len(side)).reshape(-1, QUERIES_PER_BLOCK)
    candidates = model.apply(variables, method=model.candidates)

    def add_block(block):
        *query, answer, is_real = block
        scores = model.apply(variables, Queries(*query), candidates, method=model.score_candidates)
        terms, weight = term(scores, query, answer)
        return jnp.sum(terms * weight * is_real), jnp.sum(weight * is_real)

    # Scores are made again for the gradient, so that those of one block alone are ever kept.
    terms, weight = jax.lax.map(jax.checkpoint(add_block), (*blocks, is_real))
    return jnp.sum(terms) / jnp.sum(weight)
