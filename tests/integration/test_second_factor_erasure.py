"""What an export says of second factors, and that nothing of them outlives the account."""

import io
import json
from collections.abc import Iterator
from datetime import timedelta
from zipfile import ZipFile

import pytest
from sqlalchemy import select

from db.accounts import passkeys
from db.tables import Passkey, RecoveryCode, TotpFactor
from deployments.maintenance.context import MaintenanceContext
from deployments.maintenance.erase_accounts import erase_accounts
from tests.support.http import PASSWORD, World
from tests.support.quick_passwords import hash_quickly
from tests.support.rich_account import delete
from tests.support.totp import Clock, enabled


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    hash_quickly(monkeypatch)
    yield


async def test_factors_are_exported_without_secrets_and_erased(
    api: World, maintenance: MaintenanceContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await api.person()
    app = await enabled(ada, Clock(monkeypatch))
    async with api.sessions.begin() as session:
        assert await passkeys.add(session, ada.id, "my phone", b"credential", b"public key", 0)
    archive = ZipFile(io.BytesIO((await ada.get("/v1/me/export")).content))
    found = json.loads(archive.read("second-factors.json"))
    assert found["totp"]["confirmed_at"] and found["totp"]["recovery_codes_left"] == 10
    assert [one["name"] for one in found["passkeys"]] == ["my phone"]
    whole = b"".join(archive.read(name) for name in archive.namelist())
    async with api.sessions() as session:
        hashes = (await session.scalars(select(RecoveryCode.code_hash))).all()
    for word in (app.secret, *app.recovery_codes, *hashes, "public key"):
        assert word.encode() not in whole

    await delete(api, ada, PASSWORD)
    assert await erase_accounts(maintenance, timedelta(0)) == 1
    for table in (TotpFactor, RecoveryCode, Passkey):
        assert await api.count(table) == 0
