"""A server of the queues looks again and again, also after its database was away."""

import pytest

from euclid_dask.core.errors import InputError, RegistryUnreachableError
from euclid_dask.data.cleaner import Cleaned
from euclid_dask.data.mover import Drained
from euclid_dask.data.ruling import Ruled
from euclid_dask.data.serving import POLL_S, RULES_S, UNREACHABLE_S, Server, Turn

RULED = Ruled(rule="r", files=1, missing=0, released=0)


class Ended(BaseException):
    """The test is over."""


class World:
    """Rules, a mover, a cleaner, and a clock that goes on by pauses."""

    def __init__(self, *errors: Exception | None, end_s: float) -> None:
        self.at_s = 1000.0
        self.pauses: list[float] = []
        self.told: list[Turn] = []
        self._errors = list(errors)
        self._until_s = self.at_s + end_s
        self.ruled_at_s: list[float] = []

    def now_s(self) -> float:
        return self.at_s

    def apply_all(self) -> list[Ruled]:
        self.ruled_at_s.append(self.at_s)
        return [RULED]

    def drain(self) -> Drained:
        if self._errors and (error := self._errors.pop(0)):
            raise error
        return Drained()

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.at_s += seconds
        if self.at_s >= self._until_s:
            raise Ended


class Cleaner:
    """A cleaner that has nothing to do."""

    def drain(self) -> Cleaned:
        return Cleaned()


def serve(world: World) -> None:
    server = Server(world, world, Cleaner(), world)
    with pytest.raises(Ended):
        server.serve(world.told.append, world.pause)


def test_rules_are_applied_at_first_and_then_now_and_again() -> None:
    world = World(end_s=2 * RULES_S + 1)
    serve(world)
    assert world.ruled_at_s == [1000.0, 1000.0 + RULES_S, 1000.0 + 2 * RULES_S]
    assert set(world.pauses) == {POLL_S}
    assert world.told == [Turn(ruled=(RULED,))] * 3


def test_a_database_that_does_not_answer_is_asked_again() -> None:
    world = World(RegistryUnreachableError("gone"), None, end_s=UNREACHABLE_S + 1)
    serve(world)
    assert world.pauses == [UNREACHABLE_S, POLL_S]
    assert [one.error for one in world.told] == ["gone"]


def test_what_is_wrong_for_good_ends_it() -> None:
    world = World(InputError("no such zone"), end_s=10.0)
    with pytest.raises(InputError):
        Server(None, world, Cleaner(), world).serve(world.told.append, world.pause)
    assert world.ruled_at_s == []
