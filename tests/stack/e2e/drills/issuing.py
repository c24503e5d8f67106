"""Grants while the drill may have stopped issuing: a refused caller retries until issuing resumes."""

from __future__ import annotations

from observer.aws import Session
from observer.client import Answer
from observer.patience import PATIENCE_S, until
from observer.world import Case, World

TERM_S = 300
# The time until a failed drill has passed again, on a slow machine.
RESUMES_WITHIN_S = 2 * PATIENCE_S


def answered(world: World, case: Case, status: int, within_s: float = PATIENCE_S) -> tuple[str, Answer]:
    """Fetches credentials of a fresh grant until the answer has this status; returns the grant and the answer."""
    grants = [world.approved(case, term_s=TERM_S)]

    def fetch() -> Answer | None:
        answer = world.fetch(case, grants[-1])
        if answer.status in (409, 410):
            # The grant lapsed before it could be fetched.
            grants.append(world.approved(case, term_s=TERM_S))
        return answer if answer.status == status else None

    answer = until(fetch, f"a fetch by {case.identity} is answered {status}", within_s=within_s)
    return grants[-1], answer


def in_use(world: World, case: Case) -> tuple[str, Session]:
    """Gets a grant and uses it, once issuing is open; returns its id and its session."""
    grant, answer = answered(world, case, 200, within_s=RESUMES_WITHIN_S)
    session = Session.vended(answer.body)
    world.await_use(case, session, "allowed")
    return grant, session
