"""The tables of disturbances that operators tell users of; no job or credit depends on them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from db.tables.base import Base


class Incident(Base):
    """A disturbance of one generator (null: of all); open until ``closed_at``."""

    __tablename__ = "incidents"

    id: Mapped[str] = mapped_column(primary_key=True)
    title: Mapped[str]
    generator: Mapped[str | None]
    opened_at: Mapped[datetime] = mapped_column(server_default=func.now())
    closed_at: Mapped[datetime | None]


class IncidentNote(Base):
    """What was told while it lasted, or after it."""

    __tablename__ = "incident_notes"
    __table_args__ = (Index("incident_notes_by_incident", "incident_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    incident_id: Mapped[str] = mapped_column(ForeignKey("incidents.id"))
    text: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
