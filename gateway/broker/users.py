"""Who may connect: a file of ``name:password-hash`` lines.

A hash is ``scrypt$N$r$p$salt$key`` (RFC 7914; N 16384, r 8, p 1: about 50 ms and 16 MiB, the
figures of that paper for interactive use), salt and key in base64.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path

from gateway.core.errors import CorrectFiles, CorrectInput, Problem

COST = 2**14
BLOCK = 8
LANES = 1
KEY_BYTES = 32
SALT_BYTES = 16
MAX_MEMORY_BYTES = 64 * 1024 * 1024
MAX_FILE_BYTES = 1_000_000
MAX_PASSWORD_BYTES = 1_024
NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")

GENERATED_BYTES = 18
"""Of randomness in a password that is made here: 24 characters."""


@dataclass(frozen=True, slots=True)
class PasswordHash:
    """One hash, taken apart."""

    cost: int
    block: int
    lanes: int
    salt: bytes
    key: bytes

    def matches(self, password: bytes) -> bool:
        """Say whether it is this password's; takes as long for any."""
        if len(password) > MAX_PASSWORD_BYTES:
            return False
        key = _key(password, self.salt, self.cost, self.block, self.lanes)
        return hmac.compare_digest(key, self.key)

    def __str__(self) -> str:
        salt, key = (base64.b64encode(part).decode() for part in (self.salt, self.key))
        return f"scrypt${self.cost}${self.block}${self.lanes}${salt}${key}"


NOBODY = PasswordHash(COST, BLOCK, LANES, bytes(SALT_BYTES), bytes(KEY_BYTES))
"""Checked for names that are not known, so that they take as long."""


def hash_password(password: str) -> PasswordHash:
    """Make a hash with a fresh salt. Raises CorrectInput for a password nobody could send."""
    data = password.encode()
    if not 0 < len(data) <= MAX_PASSWORD_BYTES:
        raise CorrectInput(f"a password has 1 to {MAX_PASSWORD_BYTES} bytes", field="password")
    salt = secrets.token_bytes(SALT_BYTES)
    return PasswordHash(COST, BLOCK, LANES, salt, _key(data, salt, COST, BLOCK, LANES))


def generate_password() -> str:
    """Make a password that nobody guesses."""
    return secrets.token_urlsafe(GENERATED_BYTES)


def read_users(path: Path) -> dict[str, PasswordHash]:
    """Read a file; empty lines and ``#`` are left out. Raises CorrectFiles with all that is wrong.

    Its messages never show what stands in the file: it could be a password.
    """
    file = str(path)
    try:
        raw = path.read_bytes()
    except OSError as err:
        problem = Problem(file, None, "", f"can't be read: {err.strerror}")
        raise CorrectFiles([problem]) from err
    if len(raw) > MAX_FILE_BYTES:
        raise CorrectFiles([Problem(file, None, "", f"is larger than {MAX_FILE_BYTES} bytes")])
    users: dict[str, PasswordHash] = {}
    problems: list[Problem] = []
    for number, line in enumerate(raw.decode(errors="replace").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, written = line.strip().partition(":")
        parsed = _parsed(written)
        if not colon or NAME.fullmatch(name) is None:
            problems.append(Problem(file, number, "", "is not like name:password-hash"))
        elif parsed is None:
            told = "is not a hash that `pilegate broker user add` makes"
            problems.append(Problem(file, number, name, told))
        elif name in users:
            problems.append(Problem(file, number, name, "stands here twice"))
        else:
            users[name] = parsed
    if problems:
        raise CorrectFiles(problems)
    return users


def put_user(path: Path, name: str, password: str) -> bool:
    """Add a user or change the password; say whether the name is new. Replaces the file whole.

    Raises CorrectInput for a name that can't be used, CorrectFiles for a file that is wrong.
    """
    if NAME.fullmatch(name) is None:
        raise CorrectInput("a name has 1 to 64 letters, digits, dots, - _ or @", field="name")
    before = read_users(path) if path.exists() else {}
    users = {**before, name: hash_password(password)}
    text = "".join(f"{known}:{hashed}\n" for known, hashed in users.items())
    kept = path.stat() if path.exists() else None
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o640 if kept is None else kept.st_mode & 0o777)
        if kept is not None and (kept.st_uid, kept.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(temporary, kept.st_uid, kept.st_gid)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return name not in before


def _parsed(written: str) -> PasswordHash | None:
    parts = written.split("$")
    if len(parts) != 6 or parts[0] != "scrypt":
        return None
    numbers = [int(part) if part.isdecimal() and len(part) < 7 else 0 for part in parts[1:4]]
    cost, block, lanes = numbers
    is_power_of_two = cost > 1 and cost & (cost - 1) == 0
    if not is_power_of_two or not 1 <= block <= 32 or not 1 <= lanes <= 4:
        return None
    if 128 * cost * block > MAX_MEMORY_BYTES // 2:
        return None
    try:
        salt, key = (base64.b64decode(part, validate=True) for part in parts[4:])
    except (binascii.Error, ValueError):
        return None
    if not salt or len(key) != KEY_BYTES:
        return None
    return PasswordHash(cost, block, lanes, salt, key)


def _key(password: bytes, salt: bytes, cost: int, block: int, lanes: int) -> bytes:
    return hashlib.scrypt(
        password, salt=salt, n=cost, r=block, p=lanes, maxmem=MAX_MEMORY_BYTES, dklen=KEY_BYTES
    )
