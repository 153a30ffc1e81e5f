from __future__ import annotations

import asyncio
import sqlite3
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.core.clock import TimeQuality
from gateway.core.errors import CorrectInput, NotKnown, Refused, TryLater
from gateway.serve import tokens as room
from gateway.serve.tokens import Role, Tokens, create_token, list_tokens, new_token, revoke_token
from gateway.storage import engine
from tests.support.serving import open_database_in, serving
from tests.support.shed import HandClock

URL = "sqlite:///serve.db"


def test_tokens_are_long_random_and_recognisable() -> None:
    made = {new_token() for _ in range(100)}
    assert len(made) == 100
    assert all(token.startswith("pg_") and len(token) == 46 for token in made)


def test_only_the_hash_is_kept(tmp_path: Path) -> None:
    async def main() -> str:
        return await create_token(URL, "reception", "operator", folder=tmp_path)

    token = asyncio.run(main())
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert token.encode() not in kept
    assert room.hash_of(token).encode() in kept


def test_a_token_is_made_listed_and_revoked(tmp_path: Path) -> None:
    async def main() -> None:
        await create_token(URL, "reception", "operator", folder=tmp_path / "new" / "folder")
        await create_token(
            URL, "screen", "viewer", 2_000_000_000_000, folder=tmp_path / "new/folder"
        )
        await revoke_token(URL, "reception", folder=tmp_path / "new/folder")
        views = await list_tokens(URL, folder=tmp_path / "new/folder")
        assert [(view.name, view.role) for view in views] == [
            ("reception", Role.OPERATOR),
            ("screen", Role.VIEWER),
        ]
        assert views[0].revoked_utc_ms is not None
        assert views[1].expires_utc_ms == 2_000_000_000_000

    asyncio.run(main())


@pytest.mark.parametrize(
    ("name", "role", "expires", "error"),
    [
        ("No Spaces", "viewer", None, CorrectInput),
        ("x", "root", None, CorrectInput),
        ("x", "viewer", 5, CorrectInput),
        ("taken", "viewer", None, Refused),
    ],
)
def test_wrong_tokens_are_refused(
    tmp_path: Path, name: str, role: str, expires: int | None, error: type[Exception]
) -> None:
    async def main() -> None:
        await create_token(URL, "taken", "viewer", folder=tmp_path)
        with pytest.raises(error):
            await create_token(URL, name, role, expires, folder=tmp_path)

    asyncio.run(main())


def test_callers_are_recognised_until_the_token_is_over(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_database_in(tmp_path) as database:
            clock = HandClock()
            tokens = Tokens(database, clock)
            token = await tokens.add("screen", Role.VIEWER, clock.utc_ms + 10_000)
            caller = await tokens.caller(token)
            assert caller is not None
            assert (caller.name, caller.role, caller.actor) == ("screen", Role.VIEWER, "api:screen")
            for wrong in (
                "",
                "pg_",
                token[:-1],
                token + "x",
                token[3:],
                new_token(),
                "pg_\udcff\x00",
            ):
                assert await tokens.caller(wrong) is None
            clock.go(10)
            assert await tokens.caller(token) is None

    asyncio.run(main())


def test_a_revoked_token_lives_two_seconds_at_most(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_database_in(tmp_path) as database:
            clock = HandClock()
            tokens = Tokens(database, clock)
            token = await tokens.add("screen", Role.VIEWER, None)
            assert await tokens.caller(token) is not None
            await revoke_token(URL, "screen", folder=tmp_path)  # another program does it
            clock.go(2.1)
            assert await tokens.caller(token) is None
            other = await tokens.add("other", Role.VIEWER, None)
            assert await tokens.caller(other) is not None
            await tokens.revoke("other")  # this program does it
            assert await tokens.caller(other) is None
            with pytest.raises(NotKnown):
                await tokens.revoke("nobody")

    asyncio.run(main())


def test_last_use_is_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_S", 0.05)

    async def main() -> None:
        async with open_database_in(tmp_path) as database:
            clock = HandClock()
            tokens = Tokens(database, clock)
            token = await tokens.add("screen", Role.VIEWER, None)
            clock.go(5)
            await tokens.caller(token)
            other = sqlite3.connect(tmp_path / "serve.db", isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(TryLater, match="locked"):
                await tokens.note_use()
            other.close()
            await tokens.note_use()  # what could not be written down is not forgotten
            assert [view.last_used_utc_ms for view in await tokens.all()] == [clock.utc_ms]

    asyncio.run(main())


def test_many_with_one_token_look_it_up_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as served:
            tokens = served.whole.tokens
            reading = served.database.reading
            count = 0

            def counted() -> AbstractAsyncContextManager[AsyncSession]:
                nonlocal count
                count += 1
                return reading()

            served.database.reading = counted  # type: ignore[method-assign, assignment]
            token = served.tokens[Role.VIEWER]
            callers = await asyncio.gather(*(tokens.caller(token) for _ in range(50)))
            assert {caller and caller.name for caller in callers} == {"viewer"}
            assert count == 1
            assert await tokens.caller("pg_" + "x" * 43) is None
            assert not tokens._looking

    asyncio.run(main())


def test_what_is_remembered_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_REMEMBERED", 3)

    async def main() -> None:
        async with open_database_in(tmp_path) as database:
            tokens = Tokens(database, HandClock())
            for number in range(10):
                token = await tokens.add(f"t{number}", Role.VIEWER, None)
                assert await tokens.caller(token) is not None
                assert len(tokens._known) <= 3

    asyncio.run(main())


def test_roles_include_those_below() -> None:
    allowed = {(held, needed) for held in Role for needed in Role if held.may(needed)}
    assert allowed == {
        (Role.VIEWER, Role.VIEWER),
        (Role.OPERATOR, Role.VIEWER),
        (Role.OPERATOR, Role.OPERATOR),
        (Role.ADMIN, Role.VIEWER),
        (Role.ADMIN, Role.OPERATOR),
        (Role.ADMIN, Role.ADMIN),
    }


def test_a_token_that_ends_is_not_taken_by_a_clock_that_was_not_set(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_database_in(tmp_path) as database:
            clock = HandClock()
            tokens = Tokens(database, clock)
            short = await tokens.add("short", Role.VIEWER, clock.utc_ms + 1_000)
            ever = await tokens.add("ever", Role.VIEWER, None)
            assert await tokens.caller(short) is not None
            clock.utc_ms, clock.quality = 5_000, TimeQuality.UNSET
            assert await tokens.caller(short) is None
            assert await tokens.caller(ever) is not None
            with pytest.raises(TryLater, match="is not set"):
                await tokens.add("late", Role.VIEWER, 60_000)

    asyncio.run(main())
