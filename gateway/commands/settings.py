"""What every command may be told: the site file, the state directory, debugging."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from gateway.core.errors import CorrectFiles, CorrectInput, PilegateError, Problem
from gateway.link.address import SOCKET_NAME

if TYPE_CHECKING:
    from gateway.config.site import Site

SITE_VARIABLE = "PILEGATE_SITE"
STATE_VARIABLE = "PILEGATE_STATE_DIR"
SITE_PLACES = (Path("site.yaml"), Path("/etc/pilegate/site.yaml"))
DEFAULT_STATE_DIR = Path("/var/lib/pilegate")

_STATE_DIR_LINE = re.compile(rb"^(?:state_dir|\"state_dir\"|'state_dir')[ \t]*:", re.MULTILINE)
_SITE_LINES = re.compile(rb"^site[ \t]*:[^\n]*\n?(?:[ \t]+[^\n]*\n?|[ \t]*\n)*", re.MULTILINE)
_BLOCK_START = re.compile(rb"\A(?:\xef\xbb\xbf)?(?:\s*(?:#[^\n]*|---[^\n]*|%[^\n]*)?\n)*[\w\"']")


@dataclass(slots=True)
class Settings:
    """The global options, and what follows from them."""

    site_option: Path | None = None
    state_dir_option: Path | None = None
    debug: bool = False

    def site_file(self) -> Path:
        """Find the site file. Raises CorrectInput when there is none to be found.

        A file that was named is not looked at here: who reads it says what is wrong with it.
        """
        if self.site_option is not None:
            return self.site_option
        for place in SITE_PLACES:
            if place.exists():
                return place
        looked = " and ".join(str(place) for place in SITE_PLACES)
        raise CorrectInput(
            f"no site file: {looked} do not exist; name one with --site or {SITE_VARIABLE}",
            field="site",
        )

    def site(self) -> Site:
        """Load the whole site, with the state directory of the options. Raises CorrectFiles."""
        from gateway.config.site import load_site  # noqa: PLC0415 - pydantic is slow to import

        site = load_site(self.site_file())
        if self.state_dir_option is None:
            return site
        return replace(site, state_dir=self.state_dir_option.absolute())

    def state_dir(self) -> Path:
        """Find the state directory without validating the site file, which takes time.

        ``pilegate off`` must be quick, and must work while somebody edits the site file.
        """
        if self.state_dir_option is not None:
            return self.state_dir_option
        path = self.site_file()
        text = _read(path)
        if _STATE_DIR_LINE.search(text) is None and _BLOCK_START.match(text):
            return DEFAULT_STATE_DIR
        return _declared_state_dir(path, text) or self.site().state_dir

    def site_id(self) -> str | None:
        """Read the id of the site that is meant; None when nothing says so.

        With --state-dir alone that directory's guard is meant, whatever it keeps. Nothing is
        validated, for the same reasons.
        """
        if self.site_option is None and self.state_dir_option is not None:
            return None
        try:
            return _declared_site_id(_read(self.site_file()))
        except (PilegateError, OSError):
            return None

    def socket(self) -> Path:
        """Say where the guard listens."""
        return self.state_dir() / SOCKET_NAME


def _read(path: Path) -> bytes:
    """Read a site file. Raises CorrectFiles where that is not possible."""
    try:
        if stat.S_ISREG(path.stat().st_mode):
            return path.read_bytes()
        message = "not a regular file: name a YAML file"
    except FileNotFoundError:
        message = "no such file: check the path"
    except PermissionError:
        message = "may not be read by this user: check owner and mode"
    except (OSError, ValueError) as error:
        message = f"can't be read: {getattr(error, 'strerror', None) or error}"
    raise CorrectFiles([Problem(str(path), None, "", message)])


def _declared_state_dir(path: Path, text: bytes) -> Path | None:
    """Read one top-level ``state_dir:`` line; None when that is not enough to know it."""
    match = _STATE_DIR_LINE.search(text)
    if match is None:
        return None
    import yaml  # noqa: PLC0415 - only where a site file names its own state directory

    line = text[match.start() :].split(b"\n", 1)[0]
    try:
        value = next(iter(yaml.safe_load(line).values()))
    except (yaml.YAMLError, AttributeError, StopIteration):
        return None
    return path.parent / value if isinstance(value, str) and value else None


def _declared_site_id(text: bytes) -> str | None:
    """Read the top-level ``site:`` with what is indented below it; None when that is not enough."""
    match = _SITE_LINES.search(text)
    if match is None:
        return None
    import yaml  # noqa: PLC0415 - as above

    try:
        found = yaml.safe_load(match[0])["site"]["id"]
    except (yaml.YAMLError, TypeError, KeyError, ValueError):
        return None
    return found if isinstance(found, str) else None


def _store(name: str) -> Callable[[click.Context, click.Parameter, object], None]:
    """Put a global option into the shared Settings, wherever on the line it stands."""

    def callback(ctx: click.Context, _parameter: click.Parameter, value: object) -> None:
        settings = ctx.ensure_object(Settings)
        if value:
            setattr(settings, name, value)

    return callback


_Decorated = TypeVar("_Decorated", bound=Callable[..., object])


def global_options(*, root: bool = False) -> Callable[[_Decorated], _Decorated]:
    """Add --site, --state-dir and --debug to a command.

    They are accepted before and after the command's name; only the root reads the
    environment, so that a variable never outranks an option.
    """

    def decorate(function: _Decorated) -> _Decorated:
        path_type = click.Path(path_type=Path, readable=False)  # who reads it says more
        for option in (
            click.option(
                "--debug",
                is_flag=True,
                hidden=not root,
                expose_value=False,
                callback=_store("debug"),
                help="Show the traceback of an unexpected error.",
            ),
            click.option(
                "--state-dir",
                type=path_type,
                metavar="DIR",
                envvar=STATE_VARIABLE if root else None,
                show_envvar=root,
                hidden=not root,
                expose_value=False,
                callback=_store("state_dir_option"),
                help="Where the guard keeps its socket and journal.",
            ),
            click.option(
                "--site",
                type=path_type,
                metavar="FILE",
                envvar=SITE_VARIABLE if root else None,
                show_envvar=root,
                hidden=not root,
                expose_value=False,
                callback=_store("site_option"),
                help="The site file; ./site.yaml, then /etc/pilegate/site.yaml.",
            ),
        ):
            function = option(function)
        return function

    return decorate


pass_settings = click.make_pass_decorator(Settings, ensure=True)
