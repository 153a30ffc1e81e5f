"""The embedded broker's users: hashes, the file, and what is refused."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from gateway.broker.login import Logins
from gateway.broker.users import generate_password, hash_password, put_user, read_users
from gateway.core.errors import CorrectFiles, CorrectInput


def test_a_hash_knows_its_password_and_no_other() -> None:
    hashed = hash_password("correct horse")
    assert hashed.matches(b"correct horse")
    assert not hashed.matches(b"correct horsf")
    assert not hashed.matches(b"x" * 5_000)
    assert str(hashed) != str(hash_password("correct horse")), "salted"


def test_users_are_added_changed_and_read_back(tmp_path: Path) -> None:
    file = tmp_path / "users"
    assert put_user(file, "tasmota", "one")
    assert put_user(file, "guard", "two")
    assert not put_user(file, "tasmota", "three")
    users = read_users(file)
    assert list(users) == ["tasmota", "guard"]
    assert users["tasmota"].matches(b"three")
    assert file.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["users"], "nothing is left behind"


def test_a_wrong_file_is_told_by_line_and_shows_no_password(tmp_path: Path) -> None:
    file = tmp_path / "users"
    good = str(hash_password("x"))
    file.write_text(f"# people\na:hunter2\nb {good}\n\nc:{good}\nc:{good}\nd:scrypt$3$8$1$AA$AA\n")
    with pytest.raises(CorrectFiles) as caught:
        read_users(file)
    assert [problem.line for problem in caught.value.problems] == [2, 3, 6, 7]
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "a:b", "a b", "x" * 65, "#a"])
def test_a_name_that_would_break_the_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CorrectInput):
        put_user(tmp_path / "users", name, "x")


def test_generated_passwords_differ() -> None:
    assert len({generate_password() for _ in range(50)}) == 50


def test_logins_follow_the_file_and_keep_the_last_good_one(tmp_path: Path) -> None:
    file = tmp_path / "users"
    put_user(file, "tasmota", "one")

    async def story() -> None:
        logins = Logins(file)
        assert await logins.allows("tasmota", "one")
        assert await logins.allows("tasmota", "one"), "from memory"
        assert not await logins.allows("tasmota", "two")
        assert not await logins.allows("nobody", "one")
        assert not await logins.allows(None, None)
        put_user(file, "tasmota", "two")
        assert not await logins.allows("tasmota", "one")
        assert await logins.allows("tasmota", "two")
        file.write_text("broken\n")
        os.utime(file, ns=(1, 1))
        assert await logins.allows("tasmota", "two")

    asyncio.run(story())
