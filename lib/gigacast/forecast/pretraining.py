"""The former path of `gigacast.trainers.pretraining.run`, kept for one release."""

from gigacast.trainers.pretraining.run import PretrainResult, main, pretrain

__all__ = ["PretrainResult", "main", "pretrain"]

if __name__ == "__main__":
    raise SystemExit(main())
