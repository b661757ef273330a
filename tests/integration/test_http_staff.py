"""Support, ops and administrators: what each may do, to whom, and how a role begins and ends."""

import asyncio
import secrets
from typing import Any

import pytest
from sqlalchemy import create_engine, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.pool import NullPool

from db.jobs import dead_letters
from db.migrate import upgrade
from db.tables import ApiKey, AuditLog, Job
from serve_app.admin import users as accounts
from serve_app.admin.schemas import GrantBody, UserLimitsBody
from serve_app.auth.identity import Identity
from serve_app.http.errors import PermissionMissing
from tests.support.http import Person, World, problem
from tests.support.migrations import downgrade
