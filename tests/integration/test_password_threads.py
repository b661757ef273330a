"""Passwords are hashed as those who run the service run it: by another user, behind others."""

import subprocess
import sys

import pytest

HASHES = """
import asyncio, os, sys
from serve_app.auth.passwords import PasswordHashing

async def main():
    os.nice(int(sys.argv[1]))  # as Ray starts its workers
    if os.getuid() == 0:
        os.setuid(65534)  # root may do anything
    hashing = PasswordHashing()
    hashed = await hashing.hash("10.0.0.1", "correct horse battery")
    print(await hashing.matches("10.0.0.1", hashed, "correct horse battery"))
    hashing.close()

asyncio.run(main())
"""


@pytest.mark.parametrize("niceness", [0, 15])
def test_a_user_without_rights_can_hash_at_any_niceness(niceness: int) -> None:
    command = [sys.executable, "-c", HASHES, str(niceness)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("True", 0), done.stderr
