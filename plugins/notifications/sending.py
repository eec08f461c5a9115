"""Send notices to every address that the connection holds, without ever harming a run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.sdk import Connection

from include.core.settings import get_settings
from include.core.text import message_text

if TYPE_CHECKING:
    from include.core.contracts import Notice

LOG = logging.getLogger(__name__)


def send(notice: Notice, connection: str | None = None) -> bool:
    """Send a notice, and return whether anyone received it; what went wrong is a warning in the log.

    Args:
        notice: What to send.
        connection: Id of the Airflow connection that holds the addresses; default that of the deployment.
    """
    connection = connection or get_settings().notify_connection
    with _warning(notice):
        return bool(connection) and _deliver(notice, Connection.get(str(connection)).password)
    return False


async def send_from_trigger(notice: Notice) -> bool:
    """Send a notice as `send` does, in the triggerer, whose event loop must not be blocked."""
    connection = get_settings().notify_connection
    with _warning(notice):
        urls = (await Connection.async_get(connection)).password if connection else None
        return bool(connection) and await asyncio.to_thread(_deliver, notice, urls)
    return False


@contextmanager
def _warning(notice: Notice) -> Iterator[None]:
    """Log whatever goes wrong: a notice that cannot be sent must not harm a run."""
    try:
        yield
    except Exception as error:
        LOG.warning("notice: %r was not sent: %s", notice.subject, message_text(str(error)))


def _deliver(notice: Notice, urls: str | None) -> bool:
    """Send a notice to each address, and return whether anyone received it."""
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


def claim(mark: Path, connection: str | None = None) -> bool:
    """Return whether the caller should send a notice: once for each mark, and only if a connection is configured.

    Where the mark cannot be written the answer is yes: users should learn of a full disk.

    Args:
        mark: The file that says that the notice was sent.
        connection: Id of the connection, where it is not that of the deployment.
    """
    if not (connection or get_settings().notify_connection):
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
    """Remove a mark after nobody was reached, so that the next caller tries again."""
    with suppress(OSError):
        mark.unlink(missing_ok=True)
