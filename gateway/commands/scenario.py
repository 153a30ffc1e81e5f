"""``demo`` and ``scenario``: a whole site on simulated wires, played and judged."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from gateway.commands.params import DURATION
from gateway.core.errors import CorrectInput

DEFAULT_SCENARIO = "demo"
WIRES = ["tcp", "rtu", "converter", "both"]


@click.command()
@click.option(
    "--scenario",
    "name",
    default=DEFAULT_SCENARIO,
    show_default=True,
    metavar="FILE|NAME",
    help="A scenario file, or the name of a built-in one.",
)
@click.option(
    "--by",
    type=click.Choice(WIRES),
    help="All buses by Modbus TCP, by RTU, by RTU over TCP (converter), or some by TCP and some "
    "by RTU (built-in scenarios: both).",
)
@click.option(
    "--site",
    "site_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Another site file than the scenario's.",
)
@click.option(
    "--exit-after",
    "exit_after_s",
    type=DURATION,
    help="Judge the scenario and end; at least as long as the scenario.",
)
@click.option(
    "--slack",
    "slack_s",
    type=DURATION,
    default=0.0,
    help="Let each event be so much later than its bound: on a machine that does other things too.",
)
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".demo"),
    show_default=True,
    help="Where the run makes a directory of its own.",
)
@click.option("--keep", is_flag=True, help="Keep that directory, with all logs.")
def demo(
    *,
    name: str,
    by: str | None,
    site_file: Path | None,
    exit_after_s: float | None,
    slack_s: float,
    folder: Path,
    keep: bool,
) -> int:
    """Watch a site on simulated wires: real processes, real sockets, small batteries."""
    from gateway.demo.runner import Options, play  # noqa: PLC0415 - brings in the simulators

    if by is not None and site_file is not None:
        raise CorrectInput("--by and --site both choose a site: give one of them", field="by")
    scenario_file = find(name)
    if by is None and site_file is None and _is_on_any_wire(scenario_file):
        by = "both"
    options = Options(
        scenario=scenario_file,
        site=_site_by(scenario_file, by) if by is not None else site_file,
        folder=folder,
        exit_after_s=exit_after_s,
        slack_s=slack_s,
        keep=keep,
    )
    return asyncio.run(play(options))


@click.group()
def scenario() -> None:
    """Play and judge scenarios."""


@scenario.command("list")
def list_() -> None:
    """List the built-in scenarios."""
    from simulators.scenario import read_scenario  # noqa: PLC0415 - pydantic is slow to import

    for file in sorted(_folder("scenarios").glob("*.yaml")):
        found = read_scenario(file)
        click.echo(f"{file.stem:<20} {found.duration_s:>4.0f} s  {found.title}")


@scenario.command("run")
@click.argument("name", metavar="FILE|NAME")
@click.option(
    "--by", type=click.Choice(WIRES), help="All buses by TCP, by RTU, by RTU over TCP, or both."
)
@click.option("--keep", is_flag=True, help="Keep the run's directory, with all logs.")
@click.pass_context
def run(ctx: click.Context, *, name: str, by: str | None, keep: bool) -> int:
    """Play one scenario for as long as it lasts and judge it."""
    from simulators.scenario import read_scenario  # noqa: PLC0415

    status = ctx.invoke(
        demo,
        name=name,
        by=by,
        site_file=None,
        exit_after_s=read_scenario(find(name)).duration_s,
        slack_s=0.0,
        folder=Path(".demo"),
        keep=keep,
    )
    assert isinstance(status, int)
    return status


def find(name: str) -> Path:
    """Find a scenario by its file or its name. Raises CorrectInput."""
    path = Path(name)
    return path if path.is_file() else built_in("scenarios", name)


def _site_by(scenario_file: Path, by: str) -> Path:
    """Find the site of a scenario on other wires: ``demo-tcp`` is ``demo-rtu`` by RTU."""
    from simulators.scenario import read_scenario  # noqa: PLC0415

    family, _, wire = Path(read_scenario(scenario_file).site).stem.rpartition("-")
    return built_in("sites", f"{family if wire in WIRES else 'demo'}-{by}")


def _is_on_any_wire(scenario_file: Path) -> bool:
    """Say whether it is a built-in scenario on the site of the demonstration."""
    if scenario_file.parent != _folder("scenarios"):
        return False
    from simulators.scenario import read_scenario  # noqa: PLC0415

    return Path(read_scenario(scenario_file).site).stem.startswith("demo-")


def built_in(kind: str, name: str) -> Path:
    """Find a built-in site or scenario. Raises CorrectInput with what there is."""
    folder = _folder(kind)
    path = folder / f"{name}.yaml"
    if path.parent == folder and path.is_file():
        return path
    known = ", ".join(sorted(file.stem for file in folder.glob("*.yaml"))) or "none"
    raise CorrectInput(f"no file and no built-in of {kind} is called {name!r}: there are {known}")


def _folder(kind: str) -> Path:
    from gateway.config.profile_files import BUILT_IN  # noqa: PLC0415 - pydantic is slow to import

    return BUILT_IN.parent / kind
