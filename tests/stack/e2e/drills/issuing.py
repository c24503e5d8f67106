"""Grants where the drill may have stopped all issuing for now: a caller who is refused asks again until it goes on."""

from __future__ import annotations

from observer.aws import Session
from observer.client import Answer
from observer.patience import PATIENCE_S, until
from observer.world import Case, World

TERM_S = 300
# Until a drill that failed has passed again, on a slow machine.
GOES_ON_S = 2 * PATIENCE_S


def answered(world: World, case: Case, status: int, within_s: float = PATIENCE_S) -> tuple[str, Answer]:
    """What a fetch of a fresh grant is answered, once that has this status; with the grant."""
    grants = [world.approved(case, term_s=TERM_S)]

    def fetch() -> Answer | None:
        answer = world.fetch(case, grants[-1])
        if answer.status in (409, 410):
            # Nobody fetched it in time.
            grants.append(world.approved(case, term_s=TERM_S))
        return answer if answer.status == status else None

    answer = until(fetch, f"a fetch by {case.identity} is answered {status}", within_s=within_s)
    return grants[-1], answer


def in_use(world: World, case: Case) -> tuple[str, Session]:
    """A grant that is used, once grants are issued; its id and its session."""
    grant, answer = answered(world, case, 200, within_s=GOES_ON_S)
    session = Session.vended(answer.body)
    world.await_use(case, session, "allowed")
    return grant, session
