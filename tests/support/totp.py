"""An app that shows codes, and a clock that goes when it is told to."""

from dataclasses import dataclass

import pyotp
import pytest

from tests.support.http import PASSWORD, Person

STEP_S = 30


class Clock:
    """The time by which the service compares codes, in seconds; it stands until it is moved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_900_000_000.0
        monkeypatch.setattr("serve_app.auth.totp_codes.time", self)

    def time(self) -> float:
        return self.now


@dataclass(frozen=True)
class App:
    """An app with a secret, and the recovery codes that came with it."""

    secret: str
    clock: Clock
    recovery_codes: tuple[str, ...] = ()

    def code(self, steps: int = 0) -> str:
        """The code that it shows, or so many steps later."""
        return pyotp.TOTP(self.secret).at(self.clock.now + steps * STEP_S)

    def wrong_code(self) -> str:
        right = {self.code(steps) for steps in (-1, 0, 1)}
        return next(code for code in ("111111", "222222", "333333", "444444") if code not in right)


async def enrol(person: Person, clock: Clock) -> App:
    """A secret that is not confirmed."""
    answer = await person.post("/v1/me/totp", json={"password": PASSWORD})
    assert answer.status_code == 201, answer.text
    return App(answer.json()["secret"], clock)


async def enabled(person: Person, clock: Clock) -> App:
    """A second factor of the person; the time step after is one whose code was not used."""
    app = await enrol(person, clock)
    answer = await person.post("/v1/me/totp/confirm", json={"code": app.code()})
    assert answer.status_code == 200, answer.text
    clock.now += STEP_S
    return App(app.secret, clock, tuple(answer.json()["recovery_codes"]))
