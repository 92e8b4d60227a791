"""The route from one cluster to another: consignments, and those that an earlier mover left half-way."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from attrs import define, frozen

from jobmaster.contracts import Departure, MasterRepository, Moving, Rejection, RejectReason, WholeJob
from jobmaster.ids import new_id
from jobmaster.moves import Left
from jobmaster.schedule_models import ScheduleRecord
from jobmaster.weighing import in_parts, job_weight, line_weight

log = logging.getLogger("jobmaster.transfer")

AT_ONCE: Final = 200
"""Jobs or schedules in one consignment: a unit of work should be short, and they may be large."""
DEPARTURES_AT_ONCE: Final = 1000


@frozen
class Shipment:
    """What arrived, and what did not move."""

    moved: frozenset[UUID] = frozenset()
    left: Sequence[Left] = ()


@define(eq=False)
class Route:
    """The route from one cluster to another, in the same store or elsewhere.

    `destination` says which cluster of which store the target is, so that no other is mistaken for it. With
    `keep_keys`, a job whose key is taken at the target does not move.
    """

    source_id: str
    source: MasterRepository
    target_id: str
    target: MasterRepository
    destination: str
    keep_keys: bool = True

    async def settle(self) -> Shipment:
        """Have the target admit consignments that departed for it earlier."""
        departures = await self.source.transfers.departures(self.source_id, DEPARTURES_AT_ONCE)
        ours = [departure for departure in departures if departure.target == self.destination]
        for other in sorted({d.target for d in departures if d.target != self.destination}):
            log.warning("an earlier move to %s is not finished: finish it first", other)
        shipments = [await self._admit(departure) for departure in ours]
        return _together(shipments)

    async def send(self, things: Sequence[Moving]) -> Shipment:
        """Move jobs and schedules; those changed since they were read stay for the next time, damaged ones stay too.

        They go in as many consignments as their bytes require: each is a unit of work of the stores.
        """
        damaged = [_unreadable(thing) for thing in things if thing.damaged]
        whole = [thing for thing in things if not thing.damaged]
        shipments = [await self._send(part) for part in in_parts(whole, _weight)]
        return _together([*shipments, Shipment(left=damaged)])

    async def _send(self, things: Sequence[Moving]) -> Shipment:
        consignment = new_id()
        rejections = await self.target.transfers.stage(
            self.target_id, consignment, things, keep_keys=self.keep_keys
        )
        rejected = {rejection.id for rejection in rejections}
        left = [_left(rejection, things) for rejection in rejections]
        staged = [thing for thing in things if thing.id not in rejected]
        if not staged:
            return Shipment(left=left)
        ids = await self.source.transfers.release(self.source_id, self.destination, consignment, staged)
        arrived = await self._admit(Departure(consignment=consignment, target=self.destination, ids=ids))
        return Shipment(arrived.moved, [*left, *arrived.left])

    async def _admit(self, departure: Departure) -> Shipment:
        """Admit a departure at the target; an empty one only clears away what was staged in vain."""
        consignment, ids = departure.consignment, sorted(departure.ids)
        stuck = await self.target.transfers.admit(self.target_id, consignment, ids, keep_keys=self.keep_keys)
        moved = departure.ids.difference(rejection.id for rejection in stuck)
        if moved:
            await self.source.transfers.forget_departures(self.source_id, consignment, sorted(moved))
        return Shipment(moved, [_on_the_way(rejection) for rejection in stuck])


def _unreadable(thing: Moving) -> Left:
    why = f"its rows cannot be read: {thing.damaged}; correct them in the database, or delete them"
    return Left("schedule" if isinstance(thing, ScheduleRecord) else "job", thing.id, why)


def _weight(thing: Moving) -> int:
    size = job_weight(thing.job)
    if isinstance(thing, WholeJob):
        size += sum(len(attempt.error.traceback) for attempt in thing.attempts if attempt.error is not None)
        size += sum(map(line_weight, thing.logs))
    return size


def _together(shipments: Sequence[Shipment]) -> Shipment:
    return Shipment(
        frozenset().union(*(shipment.moved for shipment in shipments)),
        [left for shipment in shipments for left in shipment.left],
    )


def _left(rejection: Rejection, things: Sequence[Moving]) -> Left:
    schedules = {thing.id for thing in things if isinstance(thing, ScheduleRecord)}
    return Left("schedule" if rejection.id in schedules else "job", rejection.id, _why(rejection))


def _on_the_way(rejection: Rejection) -> Left:
    return Left("job or schedule", rejection.id, f"it has left, and waits at the target: {_why(rejection)}")


def _why(rejection: Rejection) -> str:
    if rejection.reason is RejectReason.KNOWN:
        return "the id is already in use at the target"
    return (
        f"its key {rejection.key!r} belongs to {rejection.holder} there; "
        "move without keys that are taken, or leave it where it is"
    )
