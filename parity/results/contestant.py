"""Who gave a figure: the one key of rows, groups, costs and pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self


class Entered(Protocol):
    """What has the four fields in its JSON: a row, a group, a cost, a picture of a report."""

    @property
    def model(self) -> str:
        """The network."""

    @property
    def variant(self) -> str:
        """Of the file."""

    @property
    def backend(self) -> str:
        """What ran it."""

    @property
    def provider(self) -> str:
        """Where."""


@dataclass(frozen=True, order=True)
class Contestant:
    """A network, as one file, in one backend.

    Attributes:
        model: the network.
        variant: of the exported file, ``candidate`` for a file that the user named, ``source``
            for PyTorch.
        backend: ``onnxruntime`` or ``torch32``.
        provider: where it runs.
    """

    model: str
    variant: str
    backend: str
    provider: str

    @classmethod
    def of(cls, given: Entered) -> Self:
        """Whose figures these are."""
        return cls(given.model, given.variant, given.backend, given.provider)

    @property
    def name(self) -> str:
        """What tables call it beside its model."""
        return f"{self.variant} {self.backend} {self.provider}"
