"""The weights of a Chronos-Bolt, fused for the lean forward, as arrays that any engine takes over.

Whatever does not depend on the input has been multiplied in, see `lean.loading`.
"""

from dataclasses import dataclass

from gigacast.core.array import RealArray


@dataclass(frozen=True, slots=True)
class FusedAffine:
    """A product with its bias.

    Parameters
    ----------
    weight : float32 [O, I]
    bias : float32 [O]
    """

    weight: RealArray
    bias: RealArray


@dataclass(frozen=True, slots=True)
class FusedResidual:
    """A residual block: ``output(relu(hidden(x))) + skip(x)``."""

    hidden: FusedAffine
    output: FusedAffine
    skip: FusedAffine

    def first_steps(self, levels: int, steps: int) -> "FusedResidual":
        """Return the block for the first ``steps`` of each of its ``levels``."""
        return FusedResidual(
            self.hidden, _first(self.output, levels, steps), _first(self.skip, levels, steps)
        )


def _first(affine: FusedAffine, levels: int, steps: int) -> FusedAffine:
    # Outputs are ordered by level, then by step.
    inputs = affine.weight.shape[1]
    return FusedAffine(
        affine.weight.reshape(levels, -1, inputs)[:, :steps].reshape(-1, inputs),
        affine.bias.reshape(levels, -1)[:, :steps].reshape(-1),
    )


@dataclass(frozen=True, slots=True)
class FusedEncoderLayer:
    """Self-attention and feed-forward; the first matrix of each holds the gain of its norm.

    Parameters
    ----------
    joined : float32 [3 * heads * d_kv, D]
        Queries, keys and values.
    output : float32 [D, heads * d_kv]
    widen, narrow : float32 [d_ff, D], [D, d_ff]
    """

    joined: RealArray
    output: RealArray
    widen: RealArray
    narrow: RealArray


@dataclass(frozen=True, slots=True)
class FusedDecoderLayer:
    """Self-attention over one token, cross-attention over the memory, and feed-forward.

    Parameters
    ----------
    own : float32 [D, D]
        Product of the self-attention's value and output projections.
    query : float32 [heads * d_kv, D]
    key : float32 [heads, d_kv, D]
        Projects a head's query to the memory; holds the memory's gain.
    value : float32 [heads, D, d_kv]
        Projects a head's mean of the memory to its values; holds the gain too.
    output, widen, narrow : float32
        As in `FusedEncoderLayer`.
    """

    own: RealArray
    query: RealArray
    key: RealArray
    value: RealArray
    output: RealArray
    widen: RealArray
    narrow: RealArray


@dataclass(frozen=True, slots=True)
class FusedBolt:
    """All weights of a Bolt.

    Parameters
    ----------
    embed : FusedResidual
        A patch and its mask, 2 * P, to a token, D.
    register : float32 [1, D], optional
        Token after the patches.
    position : float32 [buckets, heads]
        Bias of attention by bucket of relative position.
    encoder : tuple of FusedEncoderLayer
    start : float32 [1, D]
        The decoder's only token.
    decoder : tuple of FusedDecoderLayer
    head : FusedResidual
        D to K * P: K levels of P steps each.
    """

    embed: FusedResidual
    register: RealArray | None
    position: RealArray
    encoder: tuple[FusedEncoderLayer, ...]
    start: RealArray
    decoder: tuple[FusedDecoderLayer, ...]
    head: FusedResidual
