"""For staff: the audit log."""

from typing import Annotated

from fastapi import Query

from db.operations import audit_log
from db.operations.audit_log import AuditFilter
from serve_app.admin.schemas import AuditEntryView
from serve_app.auth.identity import Identity, require
from serve_app.auth.permissions import Permission
from serve_app.http.dependencies import ClientsDep, CreatedAfterDep, CreatedBeforeDep, LimitDep
from serve_app.http.pagination import Page, paginate
from serve_app.routing import make_router

router = make_router("/v1/admin/audit-log", tags=["admin"])

# What ids, names of generators, actions and commands (``atelier-admin``) are made of.
_WORD = r"^[A-Za-z0-9_.-]{1,64}$"


@router.get("")
async def index(
    staff: Annotated[Identity, require(Permission.AUDIT_LOG_READ)],
    clients: ClientsDep,
    actor: Annotated[str | None, Query(pattern=_WORD, description="Only what they did.")] = None,
    subject: Annotated[str | None, Query(pattern=_WORD, description="Only about it.")] = None,
    action: Annotated[str | None, Query(pattern=_WORD, examples=["user.grant"])] = None,
    created_after: CreatedAfterDep = None,
    created_before: CreatedBeforeDep = None,
    limit: LimitDep = 20,
    after: Annotated[
        str | None,
        Query(pattern=r"^[0-9]{1,18}$", description="The `next` of the page before this one."),
    ] = None,
) -> Page[AuditEntryView]:
    """What was changed, by whom, newest first. Nothing changes or deletes a row."""
    which = AuditFilter(actor, subject, action, created_after, created_before)
    before_id = None if after is None else int(after)
    async with clients.sessions() as session:
        rows = await audit_log.page(session, which, before_id, limit + 1)
    views = [AuditEntryView.model_validate(row, from_attributes=True) for row in rows]
    page_rows, has_more, following = paginate(views, limit)
    return Page(data=list(page_rows), has_more=has_more, next=following)
