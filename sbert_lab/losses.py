"""Every loss of the course, side by side, on vectors.

`loss(columns, labels)` takes one (B, D) float32 tensor per text column and, where the loss learns from labels, a (B,)
tensor of them, or (B, K) where a teacher says several things of a row; it returns a scalar, the mean over this
process's rows, except CoSENT: one ranking of the rows of all processes. It knows no model, tokenizer or device. A loss
may own weights that train with it and are thrown away afterwards (the softmax head). A method of the literature is a
loss and a choice of columns: unsupervised SimCSE is `InBatchNegatives` on (x, x).

Each class states what it takes: `columns` names its columns ("negative..." stands for any number, also none), `labels`
is "int", "float", "floats" (several a row) or None, `label_range` the lowest and highest label. `check_columns` and
`check_labels` check a whole dataset against that before a training starts; every call checks its batch too. The checks
read shapes and dtypes, which costs no GPU wait; label values cost one wait, and none where labels come on the CPU: they
are checked there and then moved. NaN in the vectors is not looked for here: it makes the loss NaN, which the training
loop stops on.

The losses that compare rows with each other (`CoSENT`, `InBatchNegatives`) see the rows of every process through
`distributed.gather`; the others need no exchange.
"""

import math
from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sbert_lab.distributed import gather, rank
from sbert_lab.settings import number, whole
from sbert_lab.similarity import cosine, cosine_matrix, euclidean


class Loss(nn.Module):
    """What all losses share: the checks of columns and labels. A loss adds `value(*columns, labels)`."""

    columns: ClassVar[tuple[str, ...]]
    labels: Literal["int", "float", "floats"] | None = None
    label_range: tuple[float, float] = (-math.inf, math.inf)
    value: Callable[..., Tensor]

    def forward(self, columns: Sequence[Tensor], labels: Tensor | None = None) -> Tensor:
        """Columns of (B, D) and labels (B,) or None -> (); TypeError or ValueError where they do not fit."""
        self._check_vectors(columns)
        self.check_labels(labels, rows=len(columns[0]))
        if labels is None:
            return self.value(*columns)
        dtype = torch.int64 if self.labels == "int" else columns[0].dtype
        return self.value(*columns, labels.to(columns[0].device, dtype))

    def extra_repr(self) -> str:
        """The loss's settings: InBatchNegatives(temperature=0.05, symmetric=False)."""
        hidden = ("training", "labels", "label_range")
        return ", ".join(f"{k}={v!r}" for k, v in vars(self).items() if not k.startswith("_") and k not in hidden)

    def check_columns(self, count: int) -> None:
        """Raise ValueError unless rows of `count` columns fit this loss."""
        more = self.columns[-1].endswith("...")
        fixed = len(self.columns) - more
        if count < fixed or (count > fixed and not more):
            raise self._error(f"{count} column{'s' * (count != 1)}", "give each row exactly these")

    def check_labels(self, labels: Tensor | None, rows: int) -> None:
        """Raise TypeError or ValueError unless `labels` are what this loss takes for `rows` rows."""
        if self.labels is None:
            if labels is None:
                return
            raise self._error(f"labels as {_kind(labels)}", "leave the labels out")
        if labels is None:
            raise self._error("no labels", "give every row a label")
        if not isinstance(labels, Tensor) or labels.dtype == torch.bool:
            raise self._error(f"labels as {_kind(labels)}", "pass a tensor of numbers", TypeError)
        if labels.is_floating_point() == (self.labels == "int"):
            raise self._error(f"{labels.dtype} labels", f"pass {self.labels} labels", TypeError)
        several = self.labels == "floats"
        if labels.shape[:1] != (rows,) or labels.dim() != 1 + several:  # (B, 1) against (B,) would become (B, B)
            shape = f"({rows}, K)" if several else f"({rows},)"
            raise self._error(f"labels of shape {tuple(labels.shape)}", f"pass one per row, shape {shape}")
        low, high = self.label_range
        valid = labels.isfinite() & (labels >= low) & (labels <= high)
        if not valid.all():  # the one look at values
            place = tuple(valid.logical_not().nonzero()[0].tolist())
            advice = "rescale the labels" if self.labels == "float" and labels[place].isfinite() else "correct it"
            raise self._error(f"label {labels[place].item():.6g} in row {place[0]}", advice)

    def _check_vectors(self, columns: Sequence[Tensor]) -> None:
        if isinstance(columns, str) or not isinstance(columns, Sequence):
            raise self._error(_kind(columns), "pass a list with one tensor per column", TypeError)
        self.check_columns(len(columns))
        given = ", ".join(_kind(column) for column in columns)
        if not all(isinstance(c, Tensor) and c.dtype in (torch.float32, torch.float64) for c in columns):
            raise self._error(given, "pass float32 tensors", TypeError)
        if columns[0].dim() != 2 or len({(c.shape, c.dtype) for c in columns}) > 1:
            raise self._error(given, "give all columns one shape (B, D) and one dtype")
        if columns[0].numel() == 0:
            raise self._error(f"an empty batch, {given}", "leave it out")

    def _error(self, given: str, advice: str, kind: type[Exception] = ValueError) -> Exception:
        low, high = self.label_range
        bounds = f" from {low} to {high}" if high < math.inf else ""
        shape = "(B, K)" if self.labels == "floats" else "(B,)"
        labels = f"{shape} {self.labels} labels{bounds}" if self.labels else "no labels"
        takes = f"the columns ({', '.join(self.columns)}), each (B, D), and {labels}"
        return kind(f"{type(self).__name__} takes {takes}, but was given {given}: {advice}")


FEATURES = ("u,v", "|u-v|", "u*v", "|u-v|,u*v", "u,v,u*v", "u,v,|u-v|", "u,v,|u-v|,u*v")


class SoftmaxClassification(Loss):
    """Cross-entropy of softmax(W [u; v; |u-v|]), labels 0..classes-1; Reimers & Gurevych 2019 §3, Table 6.

    `features` is any row of Table 6. The paper writes W without a bias; the authors' published code has one, and so has
    this head.
    """

    columns = ("u", "v")
    labels = "int"

    def __init__(self, dim: int, classes: int, features: str = "u,v,|u-v|") -> None:
        super().__init__()
        if features not in FEATURES:
            raise ValueError(f"features {features!r} is not one of {', '.join(map(repr, FEATURES))}")
        self.dim, self.features, classes = whole("dim", dim), features, whole("classes", classes, least=2)
        self.label_range = (0, classes - 1)
        self.head = nn.Linear(self.dim * len(features.split(",")), classes)

    def value(self, u: Tensor, v: Tensor, labels: Tensor) -> Tensor:
        width = u.shape[1]
        if width != self.dim:
            raise self._error(f"D = {width} where its head has dim={self.dim}", f"make the loss with dim={width}")
        return F.cross_entropy(self.scores(u, v), labels)  # (B, classes) -> ()

    def scores(self, u: Tensor, v: Tensor) -> Tensor:
        """What the head says of each pair, before the softmax: (B, D), (B, D) -> (B, classes)."""
        return self.head(joined(u, v, self.features))


def joined(u: Tensor, v: Tensor, features: str) -> Tensor:
    """The `features` of each pair side by side, such as "u,v,|u-v|": (B, D), (B, D) -> (B, parts * D)."""
    parts = {"u": u, "v": v, "|u-v|": (u - v).abs(), "u*v": u * v}
    return torch.cat([parts[name] for name in features.split(",")], dim=1)


class CosineRegression(Loss):
    """Squared error of cosine(u, v) against labels from 0 to 1; Reimers & Gurevych 2019 §3."""

    columns = ("u", "v")
    labels = "float"
    label_range = (0, 1)

    def value(self, u: Tensor, v: Tensor, labels: Tensor) -> Tensor:
        return F.mse_loss(cosine(u, v), labels)


class CoSENT(Loss):
    """Ranks pairs: log(1 + Σ exp(scale (cos_i - cos_j))) over all i, j with label_i < label_j; Su 2022.

    Only the order of the labels counts. A batch whose labels are all equal has nothing to rank: loss 0, gradient 0.
    """

    columns = ("u", "v")
    labels = "float"

    def __init__(self, scale: float = 20.0) -> None:
        super().__init__()
        self.scale = number("scale", scale, above=0)

    def value(self, u: Tensor, v: Tensor, labels: Tensor) -> Tensor:
        # Not a mean over rows but one ranking of all rows: every process computes the same value of the whole batch,
        # and the W equal gradients that gather's backward sums are undone by the mean over processes.
        scores = gather(self.scale * cosine(u, v))  # (N,), N rows of all processes
        labels = gather(labels)  # (N,)
        _check_company(self, "pair", len(scores))
        excess = scores[:, None] - scores[None, :]  # (N, N): by how much i beats j
        excess = excess.masked_fill(labels[:, None] >= labels[None, :], -math.inf)
        return torch.cat([scores.new_zeros(1), excess.flatten()]).logsumexp(dim=0)


_DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "euclidean": euclidean,
    "cosine": lambda a, b: 1 - cosine(a, b),
}


class TripletMargin(Loss):
    """max(0, d(anchor, positive) - d(anchor, negative) + margin); Reimers & Gurevych 2019 §3."""

    columns = ("anchor", "positive", "negative")

    def __init__(self, margin: float = 1.0, distance: str = "euclidean") -> None:
        super().__init__()
        self.margin, self.distance = number("margin", margin, least=0), _known_distance(distance)

    def value(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        distance = _DISTANCES[self.distance]
        return F.relu(distance(anchor, positive) - distance(anchor, negative) + self.margin).mean()


class PairContrastive(Loss):
    """½ d² for label 1 (alike), ½ max(0, margin - d)² for label 0; Hadsell et al. 2006, labels reversed."""

    columns = ("u", "v")
    labels = "int"
    label_range = (0, 1)

    def __init__(self, margin: float = 0.5, distance: str = "cosine") -> None:
        super().__init__()
        self.margin, self.distance = number("margin", margin, least=0), _known_distance(distance)

    def value(self, u: Tensor, v: Tensor, labels: Tensor) -> Tensor:
        distances = _DISTANCES[self.distance](u, v)  # (B,)
        too_near = F.relu(self.margin - distances)
        return torch.where(labels == 1, distances.square(), too_near.square()).mean() / 2


class InBatchNegatives(Loss):
    """Cross-entropy of each anchor's own positive among all candidates of the batch, by cosine / temperature.

    The candidates are every row's positive and hard negatives. Known as InfoNCE or multiple negatives ranking:
    Henderson et al. 2017, SimCSE 2021, E5 2022. Symmetric adds each positive's own anchor among all anchors and takes
    the mean of both (hard negatives serve the first only).
    """

    columns = ("anchor", "positive", "negative...")

    def __init__(self, temperature: float = 0.05, symmetric: bool = False) -> None:
        super().__init__()
        self.temperature, self.symmetric = number("temperature", temperature, above=0), symmetric

    def value(self, anchor: Tensor, positive: Tensor, *negatives: Tensor) -> Tensor:
        loss = self.choose(anchor, gather_columns([positive, *negatives]))
        return (loss + self.choose(positive, gather(anchor))) / 2 if self.symmetric else loss

    def choose(self, queries: Tensor, candidates: Tensor) -> Tensor:
        """The loss of queries (B, D) among candidates (C, D), which begin with the right ones of all processes."""
        _check_company(self, "candidate", len(candidates))
        own = torch.arange(len(queries), device=queries.device) + rank() * len(queries)  # (B,)
        scores = cosine_matrix(queries, candidates) / self.temperature  # (B, C)
        return F.cross_entropy(scores, own)


def gather_columns(columns: Sequence[Tensor]) -> Tensor:
    """The rows of every process in one exchange, column after column: (B, D) each -> (columns * N, D)."""
    return gather(torch.stack(list(columns), dim=1)).transpose(0, 1).flatten(0, 1)  # (N, columns, D) in between


class VectorDistillation(Loss):
    """Squared error of every column's vector against the teacher's, (B, D) labels; Reimers & Gurevych 2020 §2.

    One column makes a smaller student; a sentence and its translation, both against the teacher's vector of the
    sentence, make a multilingual one.
    """

    columns = ("student", "student...")
    labels = "floats"

    def value(self, *given: Tensor) -> Tensor:
        *students, teacher = given
        if teacher.shape != students[0].shape:
            raise self._error(
                f"{_kind(students[0])} against labels {tuple(teacher.shape)}", "give student and teacher one width"
            )
        return torch.stack([F.mse_loss(student, teacher) for student in students]).mean()


class MarginDistillation(Loss):
    """Squared error of query·positive - query·negative against the teacher's margin; Hofstätter et al. 2020.

    A label is the teacher's score of (query, positive) less that of (query, negative), on the scale of dot products.
    """

    columns = ("query", "positive", "negative")
    labels = "float"

    def value(self, query: Tensor, positive: Tensor, negative: Tensor, labels: Tensor) -> Tensor:
        return F.mse_loss((query * (positive - negative)).sum(dim=1), labels)


class ListwiseDistillation(Loss):
    """KL divergence from the teacher's to the student's choice among a query's own candidates; Wang et al. 2022 §4.2.

    Labels are the teacher's scores of the C candidates, (B, C), before the softmax; the student's are cosines divided
    by `temperature`.
    """

    columns = ("query", "candidate", "candidate", "candidate...")
    labels = "floats"

    def __init__(self, temperature: float = 0.05) -> None:
        super().__init__()
        self.temperature = number("temperature", temperature, above=0)

    def value(self, query: Tensor, *given: Tensor) -> Tensor:
        *candidates, teacher = given
        if teacher.shape[1] != len(candidates):
            raise self._error(
                f"{teacher.shape[1]} labels for {len(candidates)} candidates", "give one for each candidate"
            )
        scores = torch.stack([cosine(query, candidate) for candidate in candidates], dim=1)  # (B, C)
        student = (scores / self.temperature).log_softmax(dim=1)
        return F.kl_div(student, teacher.log_softmax(dim=1), log_target=True, reduction="batchmean")


class Projected(Loss):
    """Another loss on tanh(W x + b) of every column: a head that trains with it and is thrown away.

    SimCSE trains so and drops the head at test: Gao et al. 2021, section 6.3.
    """

    def __init__(self, dim: int, loss: Loss) -> None:
        super().__init__()
        self.dim, self.loss = whole("dim", dim), loss
        self.head = nn.Linear(self.dim, self.dim)
        self.columns, self.labels, self.label_range = loss.columns, loss.labels, loss.label_range  # type: ignore[misc]

    def value(self, *given: Tensor) -> Tensor:
        columns, labels = (given[:-1], given[-1]) if self.labels else (given, None)
        if columns[0].shape[1] != self.dim:
            raise self._error(f"D = {columns[0].shape[1]} where its head has dim={self.dim}", "make dim the same")
        return self.loss([self.head(column).tanh() for column in columns], labels)


class PairScores(Loss):
    """What a cross-encoder learns from: one score a pair against grades 0 to 1, or `classes` scores against classes.

    The binary cross-entropy of the score's sigmoid, and the cross-entropy of the scores' softmax: Devlin et al. 2019
    §4.1 for classes, Nogueira & Cho 2019 for relevance.
    """

    columns = ("scores",)

    def __init__(self, classes: int = 1) -> None:
        super().__init__()
        self.classes = whole("classes", classes)
        self.labels, self.label_range = ("float", (0, 1)) if self.classes == 1 else ("int", (0, self.classes - 1))

    def value(self, scores: Tensor, labels: Tensor) -> Tensor:
        if scores.shape[1] != self.classes:
            raise self._error(f"{scores.shape[1]} scores a pair", f"make the loss with classes={scores.shape[1]}")
        if self.classes == 1:
            return F.binary_cross_entropy_with_logits(scores[:, 0], labels)
        return F.cross_entropy(scores, labels)  # (B, classes) -> ()


def _check_company(loss: Loss, what: str, count: int) -> None:
    if count < 2:
        raise ValueError(
            f"{type(loss).__name__} saw a single {what} in the whole batch, where every answer is right and the loss "
            "always 0: give it at least two rows"
        )


def _known_distance(distance: str) -> str:
    if distance not in _DISTANCES:
        raise ValueError(f"distance {distance!r} is not one of {', '.join(_DISTANCES)}")
    return distance


def _kind(x: object) -> str:
    return f"{str(x.dtype).removeprefix('torch.')} {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
