"""Every strategy by the name that a recipe calls it, around any sampler."""

from mans_jax.samplers import FAMILIES, NORMAL, STRATEGIES, Inputs


def around(name, base, replace, present=None, **options):
    """`base` with a strategy around it, of the options that the strategy has."""
    if name == NORMAL:
        return base
    assert name in STRATEGIES
    inputs = Inputs(known=None, present=present, replace=replace, num_negatives=0, dim=0, relation_width=0)
    own = {option: options[option] for option in FAMILIES[name].options}
    return FAMILIES[name].make(inputs, [base], (), **own)
