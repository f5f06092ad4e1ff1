"""Does MANS help, and when? Grids over one recipe, each for a part of the question.

    python -m mans_jax.compare --config=configs/compare_mans.py:PART --config.data=FOLDER \\
        --config.features.text=FILE.npy --workdir=runs/compare_mans

PART is one of

- strategies: the strategies of MANS and our own, over Bernoulli sampling, with structure alone beside them;
- share: the share of virtual negatives, in MANS-H and MANS-T, with the whole margin and with their own;
- negatives: how many negatives a positive has;
- controls: features that say less and less, written by `benchmarks/feature_controls.py --output=controls`.

All parts may have the same workdir, since they share the recipe: what one has trained the next does not train again.
The defaults are for MKG-Y, learning rate and margin chosen by normal sampling on valid. For DB15K in its other split
add `--config.batch_size=792 --config.evaluate_every=0`, as configs/db15k_adamf.py says why; another budget,
`--config.budget='300 epochs'`, wants another workdir.
"""

from mans_jax.comparison.grid import comparison_config

ALONE = 'structure alone: bernoulli; features='
NORMAL = 'normal: bernoulli'
VIRTUAL_TOO = 'normal + virtual own margin', 'concatenate(bernoulli, own_margin(mans_v(bernoulli)))'


def _of_share(share):
    """The row and its label, of each sampler that has a share."""
    return (
        f'mans_t {share}: mans_t(bernoulli, share={share})',
        f'mans_h {share}: mans_h(bernoulli, share={share})',
        f'mans_h {share} own margin: own_margin(mans_h(bernoulli, share={share}))',
    )


STRATEGIES = (
    ALONE,
    NORMAL,
    'mans_v: mans_v(bernoulli)',
    *_of_share(0.3),
    'mans_a count: mans_a(bernoulli)',
    "mans_a per sample: mans_a(bernoulli, marks='per_sample')",
    'mans_a count own margin: own_margin(mans_a(bernoulli))',
    'two normal: bernoulli; num_negatives=2',
    'normal + virtual: concatenate(bernoulli, mans_v(bernoulli))',
    ': '.join(VIRTUAL_TOO),
)

SHARE = (NORMAL, *(row for share in (0.1, 0.3, 0.5, 0.7, 0.9) for row in _of_share(share)))

# With one negative they are rows of the strategies.
NEGATIVES = (
    NORMAL,
    *_of_share(0.3)[1:],
    *(
        f'{label} K={count}: {sampler}; num_negatives={count}'
        for count in (4, 16, 64)
        for label, sampler in (row.split(': ') for row in (NORMAL, *_of_share(0.3)[1:]))
    ),
)

CONTROLS = (
    ALONE,
    NORMAL,
    *(row for row in STRATEGIES if row.startswith(('mans_h 0.3:', VIRTUAL_TOO[0]))),
    *(
        f'{label} {control}: {sampler}; features.text=controls/{control}.npy'
        for control in ('blurred_1', 'blurred_2', 'shuffled', 'random')
        for label, sampler in (('normal', 'bernoulli'), ('mans_h 0.3', 'mans_h(bernoulli, share=0.3)'), VIRTUAL_TOO)
    ),
)

PARTS = {'strategies': STRATEGIES, 'share': SHARE, 'negatives': NEGATIVES, 'controls': CONTROLS}


def get_config(part: str = 'strategies'):
    """The grid of a part of the question."""
    return comparison_config(
        samplers=PARTS[part],
        baseline='normal',
        budget='60 epochs',
        data='data/mkg-y',
        features={'text': ''},
        margin=12.0,
        learning_rate=0.01,
        batch_size=213,
        evaluate_every=20,
        checkpoint_every=20,
    )
