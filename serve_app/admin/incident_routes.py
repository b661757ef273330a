"""For staff: what users read of disturbances on ``/status``."""

from typing import Annotated

from fastapi import Depends

from db.operations import incidents as stories
from db.operations.incidents import IncidentStory
from serve_app.admin import incidents
from serve_app.admin.schemas import IncidentBody, IncidentNoteBody, IncidentNoteView, IncidentView
from serve_app.auth.identity import Identity, require
from serve_app.auth.permissions import Permission
from serve_app.http.dependencies import AfterDep, ClientsDep, LimitDep, require_json, validate_id
from serve_app.http.errors import BadInput
from serve_app.http.pagination import Page, paginate
from serve_app.routing import make_router

router = make_router("/v1/admin/incidents", tags=["admin"])


@router.get("")
async def index(
    staff: Annotated[Identity, require(Permission.INCIDENTS_READ)],
    clients: ClientsDep,
    limit: LimitDep = 20,
    after: AfterDep = None,
) -> Page[IncidentView]:
    """The newest incidents, open ones and those that are over, with their notes."""
    async with clients.sessions() as session:
        found = await stories.newest(session, limit + 1, after=after)
    rows, has_more, following = paginate([_view(story) for story in found], limit)
    return Page(data=list(rows), has_more=has_more, next=following)


@router.post("", status_code=201, dependencies=[Depends(require_json)])
async def create(
    body: IncidentBody,
    staff: Annotated[Identity, require(Permission.INCIDENTS_WRITE)],
    clients: ClientsDep,
) -> IncidentView:
    """Tell users of a disturbance, of one generator or of all."""
    if body.generator is not None and body.generator not in clients.catalog:
        fault = f"there is no generator {body.generator}"
        raise BadInput(errors=[{"loc": ["generator"], "msg": fault, "code": "not_found"}])
    incident_id = await incidents.open_incident(clients.sessions, staff, body.title, body.generator)
    return _view(await incidents.get(clients.sessions, incident_id))


@router.post("/{incident_id}/notes", status_code=201, dependencies=[Depends(require_json)])
async def note(
    incident_id: str,
    body: IncidentNoteBody,
    staff: Annotated[Identity, require(Permission.INCIDENTS_WRITE)],
    clients: ClientsDep,
) -> IncidentView:
    """Say what is new."""
    await incidents.add_note(clients.sessions, staff, validate_id(incident_id, "inc"), body.text)
    return _view(await incidents.get(clients.sessions, incident_id))


@router.post("/{incident_id}/close")
async def close(
    incident_id: str,
    staff: Annotated[Identity, require(Permission.INCIDENTS_WRITE)],
    clients: ClientsDep,
) -> IncidentView:
    """Say that it is over; once more changes nothing."""
    await incidents.close(clients.sessions, staff, validate_id(incident_id, "inc"))
    return _view(await incidents.get(clients.sessions, incident_id))


def _view(story: IncidentStory) -> IncidentView:
    one = story.incident
    return IncidentView(
        id=one.id,
        title=one.title,
        generator=one.generator,
        opened_at=one.opened_at,
        closed_at=one.closed_at,
        notes=[
            IncidentNoteView(text=each.text, created_at=each.created_at) for each in story.notes
        ],
    )
