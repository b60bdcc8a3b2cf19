"""Batches of parsed inputs: the spend events or the reported totals of messages."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import NamedTuple, TypeVar

from domain.inputs.campaign_names import CampaignKey
from domain.inputs.columns import PlainDrafts, plain_drafts
from domain.inputs.reasons import Rejection
from domain.inputs.spend import SpendDraft, read_event, sequence_of
from domain.inputs.totals import TotalDraft, read_total

Good = TypeVar("Good")


class Batch(NamedTuple):
    """Parsed spend events: as columns (`plain`) if all have the plain form, else as drafts and rejections.

    The plain form: well-formed, in the usual spelling, with the campaign's id (`domain.inputs.columns`).
    """

    plain: PlainDrafts | None
    drafts: Sequence[SpendDraft] = ()
    rejections: Sequence[Rejection] = ()

    @classmethod
    def read(cls, payloads: Sequence[object]) -> "Batch":
        """Parses decoded JSON values into one batch."""
        plain = plain_drafts(payloads)
        return cls(None, *partition(map(read_event, payloads))) if plain is None else cls(plain)

    @classmethod
    def from_messages(cls, messages: Sequence[Sequence[object]]) -> "list[Batch]":
        """Parses the events (decoded JSON values) of several messages; malformed ones become rejections.

        Returns one batch if every event has the plain form, otherwise one batch for each message.
        """
        plain = plain_drafts(list(chain.from_iterable(messages))) if len(messages) > 1 else None
        return [cls.read(payloads) for payloads in messages] if plain is None else [cls(plain)]

    def halves(self) -> "tuple[Batch, Batch] | None":
        """Two batches with half of the well-formed events each, rejections in the first; None below two events."""
        drafts = self._well_formed()
        half = len(drafts) // 2
        return (Batch(None, drafts[:half], self.rejections), Batch(None, drafts[half:])) if half else None

    def single(self) -> SpendDraft | None:
        """The batch's only well-formed event; None if it has none or several."""
        drafts = self._well_formed()
        return drafts[0] if len(drafts) == 1 else None

    def _well_formed(self) -> Sequence[SpendDraft]:
        return self.drafts if self.plain is None else partition(map(read_event, self.plain.payloads))[0]

    def rejecting(self, rejection: Rejection) -> "Batch":
        """A copy of the batch in which its only well-formed event is rejected."""
        return Batch(None, (), [*self.rejections, rejection])

    @property
    def size(self) -> int:
        """The number of events, malformed ones included."""
        return len(self.drafts) + len(self.rejections) if self.plain is None else len(self.plain.event_ids)

    def campaigns(self) -> set[CampaignKey]:
        """The keys by which the well-formed events name their campaigns."""
        return {draft.campaign for draft in self.drafts} if self.plain is None else set(self.plain.campaign_ids)

    def numbers(self) -> Iterable[tuple[str, int]]:
        """The (source, sequence number) pairs of all events that have one, malformed ones included."""
        if self.plain is not None:
            return self.plain.numbers
        good = ((draft.source, draft.sequence) for draft in self.drafts if draft.sequence is not None)
        bad = (sequence_of(rejection.payload) for rejection in self.rejections)
        return chain(good, filter(None, bad))


class TotalsBatch(NamedTuple):
    """Parsed reported totals."""

    drafts: Sequence[TotalDraft] = ()
    rejections: Sequence[Rejection] = ()

    @classmethod
    def from_messages(cls, messages: Sequence[Sequence[object]]) -> "list[TotalsBatch]":
        """Parses the decoded JSON values of messages, into one batch for each message."""
        return [cls(*partition(map(read_total, payloads))) for payloads in messages]

    def halves(self) -> "tuple[TotalsBatch, TotalsBatch] | None":
        """Two batches with half of the well-formed totals each, rejections in the first; None below two totals."""
        half = len(self.drafts) // 2
        return (TotalsBatch(self.drafts[:half], self.rejections), TotalsBatch(self.drafts[half:])) if half else None

    def single(self) -> TotalDraft | None:
        """The batch's only well-formed total; None if it has none or several."""
        return self.drafts[0] if len(self.drafts) == 1 else None

    def rejecting(self, rejection: Rejection) -> "TotalsBatch":
        """A copy of the batch in which its only well-formed total is rejected."""
        return TotalsBatch((), [*self.rejections, rejection])

    @property
    def size(self) -> int:
        """The number of totals, malformed ones included."""
        return len(self.drafts) + len(self.rejections)


def partition(read: Iterable[Good | Rejection]) -> tuple[list[Good], list[Rejection]]:
    """Splits parsed or validated inputs into the good ones and the rejections, each in order."""
    good: list[Good] = []
    rejections: list[Rejection] = []
    for item in read:
        if isinstance(item, Rejection):
            rejections.append(item)
        else:
            good.append(item)
    return good, rejections
