"""Average the weights of models of one shape.

``python -m gigacast.trainers.pretraining.average --models DIR DIR ... --output DIR`` writes the
mean. Weights that one run of training has led to others lie in one valley of the loss with these,
and their mean is often better than either.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import safetensors.torch
import torch

from gigacast.errors import ConfigError, ModelIntegrityError
from gigacast.trainers.disk import disk_errors

WEIGHTS, CONFIG = "model.safetensors", "config.json"


def average(folders: Sequence[Path], output_dir: Path, shares: Sequence[float] = ()) -> None:
    """Write the weighted mean of the weights of models, with the configuration of the first.

    Parameters
    ----------
    folders : sequence of Path
        Folders with ``config.json`` and ``model.safetensors``; two or more.
    output_dir : Path
        Folder of the mean; existing files are replaced.
    shares : sequence of float
        Weight of each folder; equal by default.

    Raises
    ------
    ConfigError
        If shares and folders do not fit, or the models have other shapes.
    ModelIntegrityError
        If a file cannot be read.
    StorageError
        If the disk is full.
    """
    shares = tuple(shares) or (1.0,) * len(folders)
    if len(folders) < 2 or len(shares) != len(folders) or not sum(shares) > 0:
        raise ConfigError("give two models or more, and one positive share for each or none")
    mean: dict[str, torch.Tensor] = {}
    for folder, share in zip(folders, shares, strict=True):
        weights = _read(folder)
        shapes = {name: weight.shape for name, weight in mean.items()}
        if mean and shapes != {name: weight.shape for name, weight in weights.items()}:
            raise ConfigError(f"the weights of {folder} do not have the shapes of {folders[0]}")
        for name, weight in weights.items():
            part = weight.double() * (share / sum(shares))
            mean[name] = mean[name] + part if name in mean else part
    with disk_errors(output_dir):
        configuration = (folders[0] / CONFIG).read_bytes()
        output_dir.mkdir(parents=True, exist_ok=True)
        single = {name: weight.float().contiguous() for name, weight in mean.items()}
        safetensors.torch.save_file(single, output_dir / WEIGHTS, metadata={"format": "pt"})
        (output_dir / CONFIG).write_bytes(configuration)


def _read(folder: Path) -> dict[str, torch.Tensor]:
    try:
        weights: dict[str, torch.Tensor] = safetensors.torch.load_file(folder / WEIGHTS)
    except (OSError, safetensors.SafetensorError) as error:
        raise ModelIntegrityError(
            f"the weights {folder / WEIGHTS} cannot be read: {error}",
            hint="give folders of models, as pretraining writes them",
        ) from error
    return weights


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m gigacast.trainers.pretraining.average")
    parser.add_argument("--models", type=Path, nargs="+", required=True, help="folders of models")
    parser.add_argument("--shares", type=float, nargs="+", default=(), help="weight of each")
    parser.add_argument("--output", type=Path, required=True, help="folder of the mean")
    options = parser.parse_args(arguments)
    average(options.models, options.output, options.shares)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
