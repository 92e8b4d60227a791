"""The handlers the demo runs. Importing this module registers them, so only the demo does."""

from __future__ import annotations

import anyio

from jobmaster import ExponentialBackoff, FixedBackoff, JobContext, handler

FAILS_BEFORE = 3
"""The attempt that goes through, of the job that is retried."""


@handler("Demo.Greet")
async def greet(job: JobContext) -> None:
    """Greet somebody, in the log."""
    job.logger.info("hello %s", job.data.get_str("name"))


@handler("Demo.Flaky", retry=ExponentialBackoff(base=0.2, jitter=0))
async def flaky(job: JobContext) -> None:
    """Fail twice, then go through."""
    if job.attempt < FAILS_BEFORE:
        msg = "the mail server hung up"
        raise ConnectionError(msg)
    job.logger.info("the mail is out")


@handler("Demo.Broken", max_retries=1, retry=FixedBackoff(0.2))
async def broken(job: JobContext) -> None:
    """Fail whenever it runs."""
    amount = job.data.get_int("amount")
    job.logger.info("each gets %d", amount // 0)


@handler("Demo.Slow", timeout=0.5, max_retries=0)
async def slow(_job: JobContext) -> None:
    """Take longer than the timeout allows."""
    await anyio.sleep(30)


@handler("Demo.Endless", timeout=None)
async def endless(_job: JobContext) -> None:
    """Run until somebody cancels the job."""
    await anyio.sleep_forever()


@handler("Demo.Resize")
def resize(job: JobContext, url: str, width: int = 640) -> None:
    """Take typed arguments, in a plain function that runs in a thread."""
    job.logger.info("%s is %d pixels wide now", url, width)


@handler("Demo.Burst")
async def burst(_job: JobContext) -> None:
    """Do nothing, fast."""


SINGLE = (greet, flaky, broken, slow, endless, resize)
"""Every handler but that of the burst."""
