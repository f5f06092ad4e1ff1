"""What features look like to the model: their linear projections, and in which precision these are made."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

FLOAT32, BFLOAT16 = 'float32', 'bfloat16'
PRECISIONS = {FLOAT32: jax.lax.Precision.HIGHEST, BFLOAT16: jax.lax.DotAlgorithmPreset.BF16_BF16_F32}
"""How features are kept and matrix products made, and what `jax.lax.dot` calls the latter. Tables, sums and what the
optimiser keeps are float32 in any case; without the word, GPU and TPU would round float32 products by themselves."""

Projection = tuple[Float[Array, 'D F'], Float[Array, 'D']]
"""Kernel and bias of a modality."""


def project(rows: Float[Array, '... F'], kernel: Float[Array, 'D F'], bias: Float[Array, 'D'], precision: str) -> Array:
    """What features look like to the model, float32[..., D]; `precision` is one of PRECISIONS."""
    if precision == BFLOAT16:
        # Rounded in words of its own, so that it is on devices, too, that make every product in float32.
        kernel = jax.lax.reduce_precision(kernel, exponent_bits=8, mantissa_bits=7)
    return jnp.einsum('...f,df->...d', rows.astype(jnp.float32), kernel, precision=PRECISIONS[precision]) + bias


def project_wide(features: dict[str, Array], projections: dict[str, Projection], precision: str) -> dict[str, Array]:
    """By modality, features that are wider than their projection, projected; the others as they are.

    So no more than has to be is moved from one device to another; `project_others` does the rest there.
    """
    return {
        name: project(rows, *projections[name], precision) if _is_wide(projections[name]) else rows
        for name, rows in features.items()
    }


def project_others(features: dict[str, Array], projections: dict[str, Projection], precision: str) -> dict[str, Array]:
    """By modality, what `project_wide` has left as it was, projected, too."""
    return {
        name: rows if _is_wide(projections[name]) else project(rows, *projections[name], precision)
        for name, rows in features.items()
    }


def _is_wide(projection):
    kernel, _ = projection
    return kernel.shape[1] > kernel.shape[0]
