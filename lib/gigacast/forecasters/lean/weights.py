"""The fused weights of a Chronos-Bolt for the lean forward; see `lean.loading`."""

from dataclasses import dataclass

from torch import Tensor

from gigacast.forecasters.lean.linear import Linear, make_linear


@dataclass(frozen=True, slots=True)
class Residual:
    """A residual block: ``output(relu(hidden(x))) + skip(x)``."""

    hidden: Linear
    output: Linear
    skip: Linear

    def __call__(self, rows: Tensor) -> Tensor:
        """Return [..., O] for rows [..., I]."""
        return self.output.add(self.hidden.relu(rows), self.skip(rows))


@dataclass(frozen=True, slots=True)
class EncoderLayer:
    """Self-attention and feed-forward; the first matrix of each holds the gain of its norm.

    Parameters
    ----------
    joined : Linear
        D to 3 * heads * d_kv: queries, keys and values.
    output : Linear
        heads * d_kv to D.
    widen, narrow : Linear
        D to d_ff and back.
    """

    joined: Linear
    output: Linear
    widen: Linear
    narrow: Linear


@dataclass(frozen=True, slots=True)
class DecoderLayer:
    """Self-attention over one token, cross-attention over the memory, and feed-forward.

    Parameters
    ----------
    own : Linear
        D to D: product of the self-attention's value and output projections.
    query : Linear
        D to heads * d_kv.
    key : Tensor
        [heads, d_kv, D]: projects a head's query to the memory; holds the memory's gain.
    value : Tensor
        [heads, D, d_kv]: projects a head's mean of the memory to its values; holds the gain too.
    output, widen, narrow : Linear
        As in `EncoderLayer`.
    """

    own: Linear
    query: Linear
    key: Tensor
    value: Tensor
    output: Linear
    widen: Linear
    narrow: Linear


class Head:
    """The output block, cut to the requested steps so that no others are computed.

    Parameters
    ----------
    hidden : Linear
        D to d_ff.
    output, skip : tuple of Tensor
        Weight, [K * P, I], and bias, [K * P], from d_ff and from D: K levels of P steps each.
    levels : int
        Number of quantile levels, K.
    """

    def __init__(
        self,
        hidden: Linear,
        output: tuple[Tensor, Tensor],
        skip: tuple[Tensor, Tensor],
        levels: int,
    ) -> None:
        self._hidden = hidden
        self._output = output
        self._skip = skip
        self._levels = levels
        self._cuts: dict[int, Residual] = {}

    def cut(self, steps: int) -> Residual:
        """Return the block for the first ``steps`` of each level, [B, K * steps]; cached."""
        if steps not in self._cuts:
            output, skip = self._first(self._output, steps), self._first(self._skip, steps)
            self._cuts[steps] = Residual(self._hidden, output, skip)
        return self._cuts[steps]

    def _first(self, layer: tuple[Tensor, Tensor], steps: int) -> Linear:
        # Outputs are ordered by level, then by step: the first steps of each level are kept.
        weight, bias = (part.view(self._levels, -1, *part.shape[1:])[:, :steps] for part in layer)
        return make_linear(weight.flatten(0, 1).contiguous(), bias.flatten().contiguous())


@dataclass(frozen=True, slots=True)
class BoltWeights:
    """All weights of a Bolt.

    Parameters
    ----------
    embed : Residual
        2 * patch_size (a patch and its mask) to D.
    register : Tensor, optional
        The REG token, [D].
    position : Tensor
        Relative position bias, float32 [buckets, heads], on the CPU.
    encoder : tuple of EncoderLayer
    start : Tensor
        Start token of the decoder, [1, D].
    decoder : tuple of DecoderLayer
    head : Head
    """

    embed: Residual
    register: Tensor | None
    position: Tensor
    encoder: tuple[EncoderLayer, ...]
    start: Tensor
    decoder: tuple[DecoderLayer, ...]
    head: Head
