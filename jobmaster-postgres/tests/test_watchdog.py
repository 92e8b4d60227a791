"""One timer watches the deadlines of all units of a connection, one after the other."""

import asyncio

import pytest

from jobmaster_postgres.session import Watchdog

pytestmark = pytest.mark.anyio

SOON, LATER, NEVER = 0.01, 0.05, 600.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Dog:
    """A watchdog, and when it bit."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._bitten = self._loop.create_future()
        self.began = self._loop.time()
        self.dog = Watchdog(lambda: self._bitten.set_result(self._loop.time() - self.began))

    def watch(self, seconds: float) -> None:
        self.dog.watch(self.began + seconds)

    @property
    def has_bitten(self) -> bool:
        return self._bitten.done()

    async def bite(self) -> float:
        """Wait for the bite; return the seconds it took."""
        async with asyncio.timeout(5):
            took: float = await self._bitten
            return took


@pytest.fixture
async def it() -> Dog:
    return Dog()


async def test_it_bites_at_the_deadline(it: Dog) -> None:
    it.watch(SOON)

    assert await it.bite() >= SOON


async def test_it_goes_by_the_deadline_of_what_it_watches_now(it: Dog) -> None:
    it.watch(SOON)
    it.dog.rest()
    it.watch(LATER)

    assert await it.bite() >= LATER


async def test_an_earlier_deadline_is_not_missed(it: Dog) -> None:
    it.watch(NEVER)
    it.dog.rest()
    it.watch(SOON)

    assert await it.bite() >= SOON


@pytest.mark.parametrize("end", ["rest", "close"])
async def test_what_is_over_is_not_bitten(it: Dog, end: str) -> None:
    other = Dog()
    it.watch(SOON)
    getattr(it.dog, end)()
    other.watch(LATER)

    await other.bite()
    assert not it.has_bitten
