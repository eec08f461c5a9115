"""Sends a notice to everyone whose address the connection holds, and never to the run's harm."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.sdk import Connection

from include.core.settings import get_settings

if TYPE_CHECKING:
    from include.core.contracts import Notice

LOG = logging.getLogger(__name__)


def send(notice: Notice) -> bool:
    """Send a notice; whether anyone got it. What went wrong is a warning in the log."""
    connection = get_settings().notify_connection
    try:
        return bool(connection) and deliver(notice, Connection.get(str(connection)).password)
    except Exception as error:  # nothing that keeps people from being told may harm a run
        return _unsent(notice, error)


async def send_from_trigger(notice: Notice) -> bool:
    """The same in the triggerer, whose loop may not wait."""
    connection = get_settings().notify_connection
    try:
        urls = (await Connection.async_get(str(connection))).password if connection else None
        return bool(connection) and await asyncio.to_thread(deliver, notice, urls)
    except Exception as error:
        return _unsent(notice, error)


def deliver(notice: Notice, urls: str | None) -> bool:
    """Send a notice to each address; whether anyone got it."""
    import apprise

    from include.reporting.notices import notice_html

    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)  # what it logs may name addresses with their tokens
    reached, addresses = 0, (urls or "").split()
    for number, url in enumerate(addresses, 1):
        receiver = apprise.Apprise()
        if not receiver.add(url):
            LOG.warning("notice: address %d of %d is no Apprise URL", number, len(addresses))
        elif receiver.notify(title=notice.subject, body=notice_html(notice), body_format=apprise.NotifyFormat.HTML):
            reached += 1
        else:
            scheme = url.partition(":")[0]
            LOG.warning(
                "notice: %r did not reach address %d of %d (%s)", notice.subject, number, len(addresses), scheme
            )
    if not addresses:
        LOG.warning("notice: the connection holds no address: its password must be an Apprise URL, or several")
    elif reached:
        LOG.info("notice: %r sent to %d of %d addresses", notice.subject, reached, len(addresses))
    return reached > 0


def claim(mark: Path) -> bool:
    """Whether it is for the caller to tell of something: once for a run, whoever notices it, and if anyone listens.

    Where the mark cannot be written the answer is yes: a full disk is something to tell.
    """
    if not get_settings().notify_connection:
        return False
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch(exist_ok=False)
    except FileExistsError:
        return False
    except OSError as error:
        LOG.warning("notice: %s cannot be written: %s", mark, error.strerror)
    return True


def give_up(mark: Path) -> None:
    """Let somebody else tell it: nobody was reached."""
    with suppress(OSError):
        mark.unlink(missing_ok=True)


def _unsent(notice: Notice, error: Exception) -> bool:
    LOG.warning("notice: %r was not sent: %s", notice.subject, error)
    return False
