"""Multivariate Student distributions, one a row.

Shapes: K draws of B rows in D coordinates.
"""

import math
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

__all__ = ["Student"]


@dataclass(frozen=True)
class Student:
    """Multivariate Student distributions of B rows, with nu degrees of freedom.

        z  =  loc + tril e sqrt(nu / c),      e ~ Normal(0, I),  c ~ Chi2(nu)

    The tails are heavier than those of a Normal, so the weights p(z) / q(z) stay bounded where p
    has a Normal's tails, even if ``tril`` is a little too small.

    Attributes:
        loc: The locations, (B, D).
        tril: The Cholesky factors of the scale matrices, (B, D, D).
        nu: The degrees of freedom, a whole number.
    """

    loc: Tensor
    tril: Tensor
    nu: int = 10

    def rows(self, rows: Shaped[Tensor, " _"]) -> Self:
        """The distributions of some rows, a copy."""
        return type(self)(self.loc[rows], self.tril[rows], self.nu)

    def put(self, rows: Int[Tensor, " _"], other: "Student") -> None:
        """Replace the distributions of some rows."""
        self.loc[rows], self.tril[rows] = other.loc, other.tril

    def place(
        self, normals: Float[Tensor, "K B D"], squares: Float[Tensor, "K B"]
    ) -> Float[Tensor, "K B D"]:
        """Draws (K, B, D) made of independent standard Normals and draws of Chi2(nu), (K, B)."""
        heavy = normals * (self.nu / squares).sqrt()[..., None]
        return self.loc + torch.einsum("bij,kbj->kbi", self.tril, heavy)

    def wider(self, factor: float) -> Self:
        """The distributions with so many times the scale."""
        return type(self)(self.loc.clone(), factor * self.tril, self.nu)

    def whitened(self, position: Float[Tensor, "K B D"]) -> Float[Tensor, "K B D"]:
        """tril^{-1} (z - loc) at positions (K, B, D), (K, B, D)."""
        return _solved(self.tril, position - self.loc, upper=False)

    def log_prob(self, position: Float[Tensor, "K B D"]) -> Float[Tensor, "K B"]:
        """Log-density at positions (K, B, D), (K, B)."""
        return self.at_distance(self.squares(position))

    def squares(self, position: Float[Tensor, "K B D"]) -> Float[Tensor, "K B"]:
        """The squared length of tril^{-1} (z - loc) at positions (K, B, D), (K, B)."""
        columns = (position - self.loc).permute(1, 2, 0)
        solved = torch.linalg.solve_triangular(self.tril, columns, upper=False)
        return solved.square().sum(1).T

    def with_gradient(
        self, position: Float[Tensor, "K B D"]
    ) -> tuple[Float[Tensor, "K B"], Float[Tensor, "K B D"]]:
        """Log-density at positions (K, B, D), (K, B), and its gradient, (K, B, D)."""
        e = self.whitened(position)
        squares = (e**2).sum(-1)
        heavy = (self.nu + self.loc.shape[-1]) / (self.nu + squares)
        return self.at_distance(squares), -heavy[..., None] * _solved(self.tril.mT, e, upper=True)

    def log_volume(self) -> Float[Tensor, " B"]:
        """log |tril|, (B,)."""
        return self.tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def at_distance(self, squares: Float[Tensor, "K B"]) -> Float[Tensor, "K B"]:
        """Log-density where the squared length of tril^{-1} (z - loc) is that, (K, B)."""
        size = self.loc.shape[-1]
        half = (self.nu + size) / 2
        constant = math.lgamma(half) - math.lgamma(self.nu / 2)
        constant -= size / 2 * math.log(self.nu * math.pi)
        return constant - self.log_volume() - half * torch.log1p(squares / self.nu)


def _solved(triangle: Tensor, vectors: Tensor, *, upper: bool) -> Tensor:
    """triangle^{-1} v for vectors (K, B, D)."""
    columns = vectors.permute(1, 2, 0)
    return torch.linalg.solve_triangular(triangle, columns, upper=upper).permute(2, 0, 1)
