"""A batch of multimodal data, any of it missing, with the masks that programs read.

Four boolean masks per modality, each within the one before it where the table says so:

    present   the data hold it                       set by the user, ``only``, ``without``
    scored    the model scores it, within present    terms, ``scoring``
    evidence  the guide may look at it, within present    ``given``
    source    this term or mixture component draws from it, within evidence    terms, strata

Shapes: values (B, *D_m); masks (B,), or (S, B) under a plate of terms or strata at dim -2.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Self

import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.arrays import Readable, read_arrays
from ppl_mm.batch.batch import Batch
from ppl_mm.batch.checks import check_rows
from ppl_mm.batch.collate import joined
from ppl_mm.batch.covariates import check_covariates, joined_covariates
from ppl_mm.batch.terms import IncompleteRows, Masks, Term, resolve_strata, resolve_terms, via_masks
from ppl_mm.batch.unread import every

__all__ = ["DrawnStrata", "Observations", "UnderStrata", "UnderTerms"]


class Observations(Batch):
    """Values and masks of B rows.

    Args:
        values: Name -> tensor (B, *D_m). Rows that are missing may hold anything, NaN too: the
            constructor replaces them by zeros in a copy.
        present: Name -> bool tensor (B,), True where the row holds the modality. A modality
            that is not named here is complete.
        elements: Name -> bool tensor (B, *D_m), False for an element that is missing of a row that
            is present: it is not scored, and networks see a zero. A row all of whose elements are
            missing is a row that misses the modality. A likelihood whose elements are not
            independent given z (classes, symbols) refuses such rows.
        covariates: Name -> tensor (B,) of classes, or (B, C) of numbers: what networks read and no
            model scores, such as the batch of a cell. None may be missing, and all masks leave them
            alone. A network says by its attribute ``reads_covariates`` which it is given.

    Raises:
        TypeError: For values that are no dense tensors of real numbers (sparse, nested, quantised,
            complex), or masks that are no boolean tensors.
        ValueError: For no rows, lengths or shapes that differ, masks of unknown modalities, or an
            *observed* value that is NaN or infinite.

    Example:
        >>> x = torch.tensor([[0.5], [float("nan")]])
        >>> obs = Observations(
        ...     {"x": x, "y": torch.tensor([1, 2])}, {"x": torch.tensor([True, False])}
        ... )
        >>> len(obs), obs["x"].tolist()
        (2, [[0.5], [0.0]])
        >>> obs.without("y").present["y"].tolist()
        [False, False]
        >>> x = torch.tensor([[0.5, 1.0], [float("nan"), 2.0]])
        >>> Observations({"x": x}, elements={"x": ~x.isnan()})
        Observations(2 rows; x(2,): 2 present, 1 in parts)
    """

    def __init__(
        self,
        values: Mapping[str, Shaped[Tensor, "B ..."]],
        present: Mapping[str, Bool[Tensor, " B"]] | None = None,
        elements: Mapping[str, Bool[Tensor, "B ..."]] | None = None,
        covariates: Mapping[str, Shaped[Tensor, "B ..."]] | None = None,
    ) -> None:
        self.values, self.present, self.elements = check_rows(values, present, elements)
        self._size = len(next(iter(self.values.values())))
        given = {} if covariates is None else covariates
        self.covariates = check_covariates(given, self._size, self.device, self.names)
        self.scored = self.evidence = self.source = self.present

    @staticmethod
    @typed
    def blank(num_rows: int, like: "Observations | None" = None) -> "Observations":
        """Rows that hold no modality at all: a model run on them draws every one.

        Args:
            num_rows: How many.
            like: Rows whose covariates these have, from the first on and over again; with None
                they have none.

        Example:
            >>> cells = Observations({"x": torch.zeros(2)}, covariates={"batch": torch.arange(2)})
            >>> Observations.blank(3, cells).covariates["batch"]
            tensor([0, 1, 0])
        """
        if num_rows < 1:
            raise ValueError(f"expected at least one row, got {num_rows}.")
        obs = Observations.__new__(Observations)
        obs._size, obs.values, obs.elements, obs.covariates = num_rows, {}, {}, {}
        if like is not None and like.covariates:
            rows = torch.arange(num_rows) % len(like)
            obs.covariates = {n: x[rows.to(x.device)] for n, x in like.covariates.items()}
        obs.present = obs.scored = obs.evidence = obs.source = {}
        return obs

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, Readable], present: Mapping[str, Readable] | None = None
    ) -> Self:
        """Read whatever holds rows of numbers; what is None, NaN or masked is missing.

        Args:
            arrays: Name -> what holds rows (B, *D_m), read as ``np.asarray`` reads it: lists, where
                None stands for a missing row or element and NaN for a missing element; NumPy's
                arrays and what becomes one; tensors of any device; SciPy's sparse matrices, as
                dense ones; pandas' frames (B, columns) and columns. The masks of masked arrays and
                of nullable columns count. A row none of whose elements is there misses the
                modality. A modality that is None is left out. Floats and booleans become torch's
                default dtype, integers int64.
            present: Name -> booleans (B,) of any kind, False for further rows that are missing.

        Raises:
            TypeError: For text, categories, times, complex numbers, dicts, sets: the message has
                the line that makes numbers of it. For masks that are not boolean.
            ValueError: Besides the constructor's reasons, for rows of different shapes, numbers
                beyond int64 or the default dtype, or pandas' frames with the same labels in
                different orders.
            MemoryError: For a sparse matrix that does not fit into memory as a dense one.

        Example:
            >>> obs = Observations.from_arrays({"x": [[1.0, 2.0], None], "y": [3, 4]})
            >>> obs.present["x"].tolist(), obs["y"].dtype
            ([True, False], torch.int64)
            >>> import pandas as pd
            >>> frame = pd.DataFrame({"a": [0.5, 1.5], "b": [1, 2], "label": [7, None]})
            >>> label = frame["label"].astype("Int64")  # not floats, as pandas makes of integers
            >>> obs = Observations.from_arrays({"x": frame[["a", "b"]], "label": label})
            >>> obs["x"].tolist(), obs["label"].tolist(), obs.present["label"].tolist()
            ([[0.5, 1.0], [1.5, 2.0]], [7, 0], [True, False])
        """
        return cls(*read_arrays(arrays, present))

    @staticmethod
    @typed
    def collate(batches: Sequence["Observations"]) -> "Observations":
        """Join batches into one; use it as ``collate_fn`` of a torch DataLoader.

        A modality that some batches do not have is missing in their rows.

        Example:
            >>> a, b = Observations({"x": torch.ones(1, 2)}), Observations({"y": torch.ones(1, 3)})
            >>> Observations.collate([a, b]).present["x"].tolist()
            [True, False]
        """
        batches = list(batches)
        if not batches:
            raise ValueError("expected at least one batch to join, got none.")
        for batch in batches:
            batch._require_no_plate("collate")
        obs = Observations.blank(sum(len(batch) for batch in batches))
        obs.values, obs.elements, masks = joined(batches)
        obs.covariates = joined_covariates([batch.covariates for batch in batches])
        for kind, mask in masks.items():
            setattr(obs, kind, mask)
        return obs

    # ---------------------------------------------------------------- plates at dim -2

    @typed
    def terms(
        self, terms: Sequence[Term], *, rows: IncompleteRows = "restrict", dedupe: bool = True
    ) -> "UnderTerms":
        """Add a plate of ELBO terms at dim -2, see :class:`ppl_mm.objectives.Term`.

        A modality that the data lack altogether counts as missing in every row.

        Args:
            terms: The terms, each with the modalities that it draws from, scores and refers to.
            rows: ``"restrict"``: a row that lacks what a term names uses what it has;
                ``"require"``: such a row contributes exactly zero to that term.
            dedupe: Whether terms that a row's missing modalities make equal count once; those that
                differ in anything but modalities all count.

        Raises:
            ValueError: For no terms, another ``rows``, or rows that are under a plate already.
        """
        self._require_no_plate("terms")
        return UnderTerms(self, terms, rows=rows, dedupe=dedupe)

    @typed
    def strata(self, family: Sequence[Iterable[str]], number: int | None = None) -> "UnderStrata":
        """Add a plate of mixture components at dim -2: component c draws from ``family[c]``.

        A row allows the components all of whose modalities are evidence, with equal
        probabilities; one that allows none keeps component 0, drawn from nothing, the prior.
        Components that a row does not allow are not scored in it.

        Args:
            family: The subsets of modalities.
            number: How many components of each row to take, at random and without replacement:
                averages over them are unbiased. With None, or with as many as there are or more,
                all of them are taken.

        Raises:
            ValueError: For no subsets, or rows that are under a plate already.
        """
        self._require_no_plate("strata")
        family = [subset if isinstance(subset, str) else tuple(subset) for subset in family]
        whole = UnderStrata(self, family)
        return whole if number is None or number >= len(family) else DrawnStrata(whole, number)


class UnderTerms(Observations):
    """Rows once for each of T terms of an objective, along the plate ``terms`` at dim -2.

    ``obs.terms([...])`` makes it; its masks ``source`` and ``scored`` are (T, B).

    Attributes:
        reference: Name -> bool (T, B), what each term's reference conditions on.
        via: Name -> bool (T, 1), the terms in which a modality supplies the stand-ins of missing
            experts; empty where no term says it.
        active: bool (T, B), False where a row contributes nothing to a term.
        weight: (T, 1), each term's factor.
    """

    reference: Masks
    via: Masks
    active: Bool[Tensor, "T B"]
    weight: Float[Tensor, "T 1"]
    plate: ClassVar[str | None] = "terms"

    def __init__(
        self, rows_of: Observations, terms: Sequence[Term], *, rows: IncompleteRows, dedupe: bool
    ) -> None:
        self.__dict__.update(rows_of.__dict__, memo={})
        self.via = via_masks(terms, rows_of)
        known = [t if t.names <= set(self.names) else None for t in terms]
        self._whole = known if rows == "require" else []
        resolved = resolve_terms(terms, rows_of, rows=rows, dedupe=dedupe)
        self.source, self.scored, self.reference, self.active, self.weight = resolved
        self._of_terms = self.source  # views with another source have another dict

    def asked(self, names: Sequence[str]) -> Bool[Tensor, "M *shape"]:
        """What the terms ask for, (M, T, 1), if rows that hold less do not count for them."""
        if self._whole and self.source is self._of_terms:
            subsets = [() if t is None else t.source for t in self._whole]
        elif self._whole and self.source is self.reference:
            subsets = [() if t is None else t.reference for t in self._whole]
        else:  # rows with less count, or these are a component of a mixture
            return self.sources(names)
        return self.as_tensor([[[n in s and n in self.names] for s in subsets] for n in names])

    @property
    def plate_size(self) -> int:
        """T, the number of terms."""
        return len(self.active)

    def at_reference(self) -> Self:
        """The rows with what each term's reference conditions on as their source."""
        out = self._copy()
        out.source = self.reference
        return out

    def scoring_terms(self, which: Bool[Tensor, "T 1"]) -> Self:
        """The rows, scored in those terms alone where ``which``, (T, 1), is True."""
        out = self._copy()
        out.scored = {n: mask & which for n, mask in self.scored.items()}
        return out


class UnderStrata(Observations):
    """Rows once for each of C mixture components, along the plate ``strata`` at dim -2.

    ``obs.strata(family)`` makes it; its masks ``source`` and ``scored`` are (C, B).

    Attributes:
        log_weight: (C, B), each component's log-probability; -inf where a row does not allow it.
    """

    log_weight: Float[Tensor, "S B"]
    plate: ClassVar[str | None] = "strata"

    def __init__(self, rows_of: Observations, family: Sequence[Iterable[str]]) -> None:
        self.__dict__.update(rows_of.__dict__, memo={})
        self.source, self.scored, self.log_weight = resolve_strata(family, rows_of)

    @property
    def plate_size(self) -> int:
        """S, the number of components along the plate."""
        return len(self.log_weight)


class DrawnStrata(UnderStrata):
    """Rows once for each of S of the C components, which each row draws at random.

    ``obs.strata(family, number)`` makes it, by a sample site ``place``. Masks and ``log_weight``
    are (S, B), those of the drawn components; ``whole_...`` are (C, B), those of all.

    Attributes:
        drawn: (S, B), which of the C components each one is.
    """

    drawn: Int[Tensor, "S B"]
    whole_source: Masks
    whole_scored: Masks
    whole_log_weight: Float[Tensor, "C B"]

    def __init__(self, whole: UnderStrata, number: int) -> None:
        allowed = whole.log_weight > -torch.inf
        zero = torch.zeros(allowed.shape, device=allowed.device)
        site = dist.Uniform(zero, torch.ones_like(zero))
        with whole.plates():  # a site, so that handlers of noise apply
            place = pyro.sample("place", site, infer={"is_auxiliary": True})
        order = torch.where(allowed, place, 2.0)
        drawn = order.argsort(0)[:number]  # those not allowed come last
        self.__dict__.update(whole.__dict__, drawn=drawn)
        self.whole_source, self.whole_scored = whole.source, whole.scored
        self.whole_log_weight = whole.log_weight
        self.source = {n: _taken(mask, drawn) for n, mask in whole.source.items()}
        self.scored = {n: _taken(mask, drawn) for n, mask in whole.scored.items()}
        self.log_weight = whole.evenly(_taken(allowed, drawn))

    @property
    def all_strata(self) -> UnderStrata:
        """The rows under all C components."""
        out = UnderStrata.__new__(UnderStrata)
        out.__dict__.update(self.__dict__)
        out.source, out.scored = self.whole_source, self.whole_scored
        out.log_weight = self.whole_log_weight
        return out


def _taken(mask: Tensor, drawn: Tensor) -> Tensor:
    """A mask at the strata drawn; where it is True throughout, without asking which they are."""
    return mask[: len(drawn)] if every(mask) else mask.gather(0, drawn)
