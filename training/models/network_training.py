"""How the network is trained with skorch: batches, learning rate, early stopping, interruption."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback, EarlyStopping
from torch import nn

from training.models.config import NetworkParameters
from training.models.progress import Progress

__all__ = ["NetworkClassifier", "network_callbacks"]


class TensorBatches:
    """Batches cut from whole arrays; a loader that collates row by row takes most of the time of a small network.

    Parameters
    ----------
    dataset
        skorch's, around arrays.
    batch_size
        Rows of a batch; the last may be shorter, but not a single row, which batch normalisation cannot take.
    shuffle
        Whether rows are drawn in random order, from torch's generator.
    """

    def __init__(self, dataset: Any, batch_size: int, shuffle: bool = False) -> None:
        self.rows = torch.as_tensor(np.asarray(dataset.X, dtype=np.float32))
        # Scoring comes without labels; skorch then wants zeros.
        given = np.zeros(len(self.rows)) if dataset.y is None else np.asarray(dataset.y)
        self.labels = torch.as_tensor(given.astype(np.int64))
        self.batch_size, self.shuffle = batch_size, shuffle

    def __len__(self) -> int:
        return max(1, math.ceil(len(self.rows) / self.batch_size))

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        count = len(self.rows)
        order = torch.randperm(count) if self.shuffle else torch.arange(count)
        starts = list(range(0, count, self.batch_size))
        if self.shuffle and len(starts) > 1 and count - starts[-1] == 1:
            starts.pop()
        for start, end in zip(starts, [*starts[1:], count], strict=True):
            chosen = order[start:end]
            yield self.rows[chosen], self.labels[chosen]


class NetworkClassifier(NeuralNetClassifier):  # type: ignore[misc]
    """skorch's classifier that repeats itself by seed, and lets Ctrl-C through.

    skorch takes every KeyboardInterrupt while fitting as a wish to stop early and would go on with a model that is
    trained by half.

    Parameters
    ----------
    seed
        Of the weights, the order of rows and dropout.
    """

    def __init__(self, *args: Any, seed: int = 0, **kwargs: Any) -> None:
        settings = {
            "criterion": nn.CrossEntropyLoss,
            "iterator_train": TensorBatches,
            "iterator_train__shuffle": True,
            "iterator_valid": TensorBatches,
            "iterator_valid__batch_size": 8192,
            "classes": [0, 1],
            "device": "cpu",
            "verbose": 0,
            "callbacks__print_log": None,
            "callbacks__valid_acc": None,
        }
        self.seed = seed
        super().__init__(*args, **(settings | kwargs))

    def initialize(self) -> NetworkClassifier:
        """Start from the weights of the seed."""
        torch.manual_seed(self.seed)
        super().initialize()
        return self

    def get_loss(self, y_pred: Any, y_true: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Loss of logits [n, 2], or while training of [n, 2, heads], where every head answers for itself."""
        if y_pred.ndim == 3:
            y_true = y_true[:, None].expand(-1, y_pred.shape[2])
        result: torch.Tensor = super().get_loss(y_pred, y_true, *args, **kwargs)
        return result

    def fit_loop(self, X: Any, y: Any = None, epochs: int | None = None, **fit_params: Any) -> NetworkClassifier:
        """Train until the epochs are over or nothing improves.

        Raises
        ------
        InterruptedTraining
            On Ctrl-C.
        """
        try:
            super().fit_loop(X, y, epochs=epochs, **fit_params)
        except KeyboardInterrupt:
            stopping = dict(self.callbacks_).get("stopping")
            if stopping is None or stopping.misses_ < stopping.patience:
                raise InterruptedTraining from None
            raise
        return self

    @property
    def best_epoch(self) -> int:
        """Epoch whose weights the network has."""
        stopping = dict(self.callbacks_).get("stopping")
        return int(stopping.best_epoch_) if stopping is not None else len(self.history)

    def finish(self) -> None:
        """Forget what only training needs, rows of training among it, and fold the encoder into the layers."""
        self.module_.fold()
        self.module_.eval()
        self.train_split = None
        self.module__encoder = None
        self.module__heads = 1
        self.callbacks_: list[Any] = []
        self.callbacks = None
        self.optimizer_ = None


class InterruptedTraining(BaseException):
    """Ctrl-C during training; turned back into KeyboardInterrupt where skorch cannot catch it."""


def network_callbacks(own: NetworkParameters, progress: Progress, stage: str) -> list[tuple[str, Callback]]:
    """What happens beside the epochs of a training."""
    found: list[tuple[str, Callback]] = [("schedule", LearningRate(own)), ("progress", Report(progress, stage))]
    if own.patience is not None:
        precise = own.monitor == "average_precision"
        if precise:
            found.insert(0, ("average", HeldOutAveragePrecision()))
        monitor = "held_out_average_precision" if precise else "valid_loss"
        stopping = EarlyStopping(
            monitor, patience=own.patience, lower_is_better=not precise, load_best=True, sink=_mute
        )
        found.append(("stopping", stopping))
    return found


def _mute(text: str) -> None:
    """Progress tells what is of interest."""


class LearningRate(Callback):  # type: ignore[misc]
    """Learning rate per batch: a linear rise, then as the configuration says."""

    def __init__(self, own: NetworkParameters) -> None:
        self.own = own

    def on_train_begin(self, net: Any, **_: Any) -> None:  # noqa: ARG002 - skorch's signature
        self.step = 0
        self.total = 1
        self.warmup = 0

    def on_epoch_begin(self, net: Any, dataset_train: Any = None, **_: Any) -> None:  # noqa: ARG002
        batches = math.ceil(len(dataset_train) / self.own.batch_size)
        self.total = max(1, batches * self.own.epochs)
        # A short training is not all warm-up.
        self.warmup = min(self.own.warmup_steps, self.total // 10)

    def on_batch_begin(self, net: Any, training: bool = False, **_: Any) -> None:
        if not training:
            return
        rate = self.own.learning_rate * min(1.0, (self.step + 1) / (self.warmup + 1))
        if self.own.schedule == "cosine":
            rate *= 0.5 * (1.0 + math.cos(math.pi * min(1.0, self.step / self.total)))
        for group in net.optimizer_.param_groups:
            group["lr"] = rate
        self.step += 1


class HeldOutAveragePrecision(Callback):  # type: ignore[misc]
    """Average precision on the rows that are held out, after every epoch."""

    def on_epoch_end(self, net: Any, dataset_valid: Any = None, **_: Any) -> None:
        logits = torch.cat([net.evaluation_step(batch) for batch in net.get_iterator(dataset_valid)])
        labels: NDArray[np.int64] = np.asarray(dataset_valid.y)
        value = average_precision_score(labels, (logits[:, 1] - logits[:, 0]).double().cpu().numpy())
        net.history.record("held_out_average_precision", float(value))


class Report(Callback):  # type: ignore[misc]
    """Tell progress about every epoch."""

    def __init__(self, progress: Progress, stage: str) -> None:
        self.progress, self.stage = progress, stage

    def on_epoch_end(self, net: Any, **_: Any) -> None:
        latest = net.history[-1]
        note = f"epochs, loss {latest['train_loss']:.4f}"
        if "held_out_average_precision" in latest:
            note += f", held-out AP {latest['held_out_average_precision']:.3f}"
        if latest["epoch"] < net.max_epochs:
            self.progress(self.stage, latest["epoch"], net.max_epochs, note)

    def on_train_end(self, net: Any, **_: Any) -> None:
        count = len(net.history)
        self.progress(self.stage, count, count, f"epochs, loss {net.history[-1, 'train_loss']:.4f}")
