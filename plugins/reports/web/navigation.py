"""The entries of the pages in Airflow's navigation, for every user who may see a page.

Airflow's UI takes the entries from `GET /api/v2/plugins`. Airflow 3.3.2 answers it for users who may read everything
about plugins (FAB: `can read` on `Plugins`, which Op and Admin have), and for no Viewer, User or role of one DAG.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.api_fastapi.core_api.datamodels.plugins import PluginCollectionResponse, PluginResponse
from airflow.api_fastapi.core_api.security import bearer_scheme, get_user
from fastapi import HTTPException, Request, status
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from include.core.inbox import INBOX
from plugins.reports.web.app import domain_pages
from plugins.reports.web.feeds import FEEDS
from plugins.reports.web.security import readable_dags

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATH = "/api/v2/plugins"


class Navigation:
    """Answers with a user's own pages where Airflow refuses this user the list of all plugins.

    It grants nothing: users see the addresses of pages that they may open, and of other plugins nothing. A user who may
    see no page gets Airflow's refusal.

    Args:
        app: Airflow's API server.
        plugin: Name of the plugin that the pages belong to.
        views: The entries of all pages, as Airflow declares `external_views`.
    """

    def __init__(self, app: ASGIApp, *, plugin: str, views: Sequence[dict[str, Any]]) -> None:
        self.app, self.plugin, self.views = app, plugin, views

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; replace a refusal of the list of plugins."""
        if not _asks_for_plugins(scope):
            await self.app(scope, receive, send)
            return
        refusal: list[Message] = []

        async def send_unless_refused(message: Message) -> None:
            if refusal or message.get("status") == status.HTTP_403_FORBIDDEN:
                refusal.append(message)
            else:
                await send(message)

        await self.app(scope, receive, send_unless_refused)
        if not refusal:
            return
        try:
            views = await self._views_of(Request(scope))
        except HTTPException:  # an invalid token, or a user who may read no DAG
            for message in refusal:
                await send(message)
            return
        await JSONResponse(plugin_list(self.plugin, views))(scope, receive, send)

    async def _views_of(self, request: Request) -> list[dict[str, Any]]:
        """Return the entries of the pages that the user of a request may see.

        Raises:
            HTTPException: The user is not logged in, or may see none.
        """
        user = await get_user(request, None, await bearer_scheme(request))
        return await run_in_threadpool(visible_views, self.views, user)


def visible_views(views: Sequence[dict[str, Any]], user: BaseUser) -> list[dict[str, Any]]:
    """Return the entries of the pages that a user may see: of feeds or a domain, if the user may read its DAG's runs.

    Raises:
        HTTPException: 403 where the user may read no DAG's runs.
    """
    readable = readable_dags(user)
    dags = {page.name: page.dag_id for page in domain_pages()} | {FEEDS: INBOX}
    hidden = {name for name, dag_id in dags.items() if dag_id not in readable}
    return [view for view in views if view["url_route"] not in hidden]


def plugin_list(plugin: str, views: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what Airflow's API states of plugins, for one plugin of which nothing but its entries is stated."""
    fields: dict[str, Any] = {name: [] for name in PluginResponse.model_fields}
    stated = PluginResponse.model_validate(fields | {"name": plugin, "source": "", "external_views": list(views)})
    return PluginCollectionResponse(plugins=[stated], total_entries=1).model_dump(mode="json")


def _asks_for_plugins(scope: Scope) -> bool:
    if scope["type"] != "http" or scope["method"] != "GET":
        return False
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "")) == PATH
