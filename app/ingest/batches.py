"""Inputs of one message as they were read: spend events, or reported totals."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import NamedTuple, TypeVar

from domain.columns import PlainDrafts, plain_drafts
from domain.inputs import CampaignKey, Rejection
from domain.spend import SpendDraft, read_event, sequence_of
from domain.totals import TotalDraft, read_total

Good = TypeVar("Good")


class Batch(NamedTuple):
    """Spend events as they were read: in columns where all are plainly well-formed, else one by one."""

    plain: PlainDrafts | None
    drafts: Sequence[SpendDraft] = ()
    rejections: Sequence[Rejection] = ()

    @classmethod
    def read(cls, payloads: Sequence[object]) -> "Batch":
        """The events in decoded JSON values."""
        plain = plain_drafts(payloads)
        return cls(None, *parted(map(read_event, payloads))) if plain is None else cls(plain)

    @classmethod
    def of_several(cls, messages: Sequence[Sequence[object]]) -> "list[Batch]":
        """The same of one message or several: one batch where all of it is plain, else one for each."""
        plain = plain_drafts(list(chain.from_iterable(messages))) if len(messages) > 1 else None
        return [cls.read(payloads) for payloads in messages] if plain is None else [cls(plain)]

    def halves(self) -> "tuple[Batch, Batch] | None":
        """Two batches of half the well-formed events each; None of fewer than two."""
        drafts = self._well_formed()
        half = len(drafts) // 2
        return (Batch(None, drafts[:half], self.rejections), Batch(None, drafts[half:])) if half else None

    def single(self) -> SpendDraft | None:
        """The only well-formed event."""
        drafts = self._well_formed()
        return drafts[0] if len(drafts) == 1 else None

    def _well_formed(self) -> Sequence[SpendDraft]:
        return self.drafts if self.plain is None else parted(map(read_event, self.plain.payloads))[0]

    def rejecting(self, rejection: Rejection) -> "Batch":
        """The batch with its only well-formed event rejected."""
        return Batch(None, (), [*self.rejections, rejection])

    @property
    def size(self) -> int:
        """How many events it is."""
        return len(self.drafts) + len(self.rejections) if self.plain is None else len(self.plain.event_ids)

    def campaigns(self) -> set[CampaignKey]:
        """How upstream names the campaigns of the well-formed ones."""
        return {draft.campaign for draft in self.drafts} if self.plain is None else set(self.plain.campaign_ids)

    def numbers(self) -> Iterable[tuple[str, int]]:
        """Those that sources gave their events, good or bad."""
        if self.plain is not None:
            return self.plain.numbers
        good = ((draft.source, draft.sequence) for draft in self.drafts if draft.sequence is not None)
        bad = (sequence_of(rejection.payload) for rejection in self.rejections)
        return chain(good, filter(None, bad))


class TotalsBatch(NamedTuple):
    """Reported totals as they were read."""

    drafts: Sequence[TotalDraft] = ()
    rejections: Sequence[Rejection] = ()

    @classmethod
    def of_several(cls, messages: Sequence[Sequence[object]]) -> "list[TotalsBatch]":
        """The totals in decoded JSON values, a batch for each message."""
        return [cls(*parted(map(read_total, payloads))) for payloads in messages]

    def halves(self) -> "tuple[TotalsBatch, TotalsBatch] | None":
        """Two batches of half the well-formed totals each; None of fewer than two."""
        half = len(self.drafts) // 2
        return (TotalsBatch(self.drafts[:half], self.rejections), TotalsBatch(self.drafts[half:])) if half else None

    def single(self) -> TotalDraft | None:
        """The only well-formed total."""
        return self.drafts[0] if len(self.drafts) == 1 else None

    def rejecting(self, rejection: Rejection) -> "TotalsBatch":
        """The batch with its only well-formed total rejected."""
        return TotalsBatch((), [*self.rejections, rejection])

    @property
    def size(self) -> int:
        """How many totals it is."""
        return len(self.drafts) + len(self.rejections)


def parted(read: Iterable[Good | Rejection]) -> tuple[list[Good], list[Rejection]]:
    """What is good, and what is rejected."""
    good: list[Good] = []
    rejections: list[Rejection] = []
    for item in read:
        if isinstance(item, Rejection):
            rejections.append(item)
        else:
            good.append(item)
    return good, rejections
