"""Scenario files: what is plugged in, what happens when, and which facts must follow."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    PrivateAttr,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from gateway.core.errors import CorrectFiles, Problem
from gateway.core.facts import FactKind
from gateway.core.ids import NAME_PATTERN
from gateway.core.reasons import Reason
from simulators.faults import LinkFault
from simulators.load_specs import FileModel, LoadSpec, MainsSpec, PowerFactor, Seconds, Share
from simulators.mqtt.faults import PlugFault
from simulators.mqtt.settings import EVERYONE, PlugSettings
from simulators.yaml_lines import Document, Path, read_yaml

Name = Annotated[str, Field(pattern=NAME_PATTERN)]


class _Step(FileModel):
    at_s: Seconds = 0.0
    id: Name | None = None


class PlugStep(_Step):
    """Plug a load in."""

    plug: str
    load: str


class UnplugStep(_Step):
    """Pull everything out of an outlet."""

    unplug: str


class CommandStep(_Step):
    """Given by the runner, not by the simulators."""

    command: Literal["on", "off", "renew", "reset", "lock", "unlock"]
    outlet: str | None = None
    pile: str | None = None
    station: str | None = None
    circuit: str | None = None
    site: str | None = None
    for_s: Seconds | None = None
    energy_wh: float | None = Field(None, gt=0, le=100_000)
    power_w: float | None = Field(None, gt=0, le=30_000)
    on_site: bool | None = None
    via: Literal["socket", "api"] = "socket"
    refused: str | None = None
    """Code with which this command must be refused."""

    @model_validator(mode="after")
    def _one_target(self) -> CommandStep:
        targets = [self.outlet, self.pile, self.station, self.circuit, self.site]
        if sum(target is not None for target in targets) != 1:
            raise ValueError("name one target: outlet, pile, station, circuit or site")
        if self.command in ("on", "renew"):
            if self.outlet is None:
                raise ValueError(f"{self.command} is for one outlet")
            if self.for_s is None:
                raise ValueError(f"{self.command} needs for_s")
        return self


class LoadStep(_Step):
    """More load on an outlet, at once or over ``ramp_s``."""

    load_step: str
    power_w: float = Field(gt=0, le=30_000)
    ramp_s: Seconds = 0.0
    power_factor: PowerFactor = 1.0
    for_s: Seconds | None = None


OUTLET_FAULTS = ("welded", "stuck_open", "frozen_meter", "hot")
DEVICE_FAULTS = tuple(dict.fromkeys([*map(str, LinkFault), *map(str, PlugFault)]))
"""Of modules and of plugs; some are known to one kind only, which the world checks."""


class FaultStep(_Step):
    """Something breaks; with ``for_s`` it heals by itself."""

    fault: str
    outlet: str | None = None
    device: str | None = None
    for_s: Seconds | None = None
    share: Share = 1.0
    delay_ms: float = Field(500.0, ge=0, le=60_000)
    temperature_c: float = Field(95.0, ge=-40, le=200)

    @model_validator(mode="after")
    def _known(self) -> FaultStep:
        if self.fault in OUTLET_FAULTS:
            if self.outlet is None or self.device is not None:
                raise ValueError(f"{self.fault} is a fault of an outlet: name one")
        elif self.fault in DEVICE_FAULTS:
            if self.device is None or self.outlet is not None:
                raise ValueError(f"{self.fault} is a fault of a device: name one")
        else:
            known = ", ".join((*OUTLET_FAULTS, *DEVICE_FAULTS))
            raise ValueError(f"{self.fault!r} is not a fault: one of {known}")
        return self


class HealStep(_Step):
    """End all faults of an outlet or a device."""

    heal: str


class MainsChange(FileModel):
    """Another voltage, at once or over ``ramp_s``."""

    voltage_v: float = Field(ge=0, le=500)
    ramp_s: Seconds = 0.0


class MainsStep(_Step):
    """The supply changes; with ``for_s`` it comes back (a dip)."""

    mains: MainsChange
    for_s: Seconds | None = None


class WatchStep(_Step):
    """Report the first answer that shows more than ``above_a`` on an outlet (0: no more)."""

    report_over: str
    above_a: float = Field(ge=0, le=1_000)


class InputStep(_Step):
    """Current flows in a digital input of a device, or it stops; with ``for_s``, for so long."""

    input: str
    channel: int = Field(1, ge=1, le=256)
    on: bool
    for_s: Seconds | None = None


class PublishStep(_Step):
    """Somebody publishes on a broker what no plug said."""

    publish: str = Field(min_length=1, max_length=200)
    """The topic."""
    bus: str
    payload: str = Field("", max_length=100_000)
    retain: bool = False
    qos: int = Field(0, ge=0, le=1)
    times: int = Field(1, ge=1, le=10_000)


Step = (
    PlugStep
    | UnplugStep
    | CommandStep
    | LoadStep
    | FaultStep
    | HealStep
    | MainsStep
    | WatchStep
    | InputStep
    | PublishStep
)

VERBS: dict[str, type[_Step]] = {
    "plug": PlugStep,
    "unplug": UnplugStep,
    "command": CommandStep,
    "load_step": LoadStep,
    "fault": FaultStep,
    "heal": HealStep,
    "mains": MainsStep,
    "report_over": WatchStep,
    "input": InputStep,
    "publish": PublishStep,
}


class Expectation(FileModel):
    """A fact that must come at most ``within_s`` after its cause."""

    fact: FactKind
    outlet: str | None = None
    subject: str | None = None
    """Instead of ``outlet``, for facts of a device, a bus or a lock: ``device/m1``."""
    reason: Reason | None = None
    after: str | None = None
    """Id of the step that causes it; without it, time zero."""
    within_s: float = Field(gt=0, le=86_400)
    not_before_s: float = Field(0.0, ge=0, le=86_400)
    """How long after its cause it may come at the earliest."""

    @property
    def about(self) -> str | None:
        """Subject of the fact, None for any."""
        return self.subject if self.outlet is None else f"outlet/{self.outlet}"


DEFAULT_WATCH = (FactKind.OUTLET_CUT, FactKind.LEASE_ENDED, FactKind.OUTLET_ALARM)


class Scenario(FileModel):
    """One file, checked."""

    scenario: Name
    title: str = Field(min_length=1, max_length=200)
    site: str
    seed: int = Field(0, ge=0, le=2**63 - 1)
    duration_s: float = Field(gt=0, le=86_400)
    mains: MainsSpec = MainsSpec()
    over_a: float | None = Field(None, gt=0, le=1_000)
    """Report the first answer above this current, for every outlet."""
    loads: dict[Name, LoadSpec] = Field(default_factory=dict)
    plugs: dict[str, PlugSettings] = Field(default_factory=dict)
    """How plugs that speak MQTT were set up, by device; ``*``: all that are not named."""
    steps: tuple[Step, ...] = ()
    expect: tuple[Expectation, ...] = ()
    watch: tuple[FactKind, ...] = DEFAULT_WATCH

    _document: Document | None = PrivateAttr(default=None)

    def check_names(
        self, outlets: Container[str], devices: Container[str], brokers: Container[str] = ()
    ) -> None:
        """Raise CorrectFiles if a step or an expectation names what the site does not have.

        ``devices``: modules and plugs. ``brokers``: buses of kind mqtt.
        """
        assert self._document is not None
        wrong = [
            self._document.problem(("steps", index, key), message)
            for index, step in enumerate(self.steps)
            for key, message in wrong_names(step, outlets, devices, brokers)
        ]
        wrong += [
            self._document.problem(("plugs", name), f"no device is called {name!r}")
            for name in self.plugs
            if name != EVERYONE and name not in devices
        ]
        wrong += [
            self._document.problem(("expect", index, "outlet"), _no_outlet(expectation.outlet))
            for index, expectation in enumerate(self.expect)
            if expectation.outlet is not None and expectation.outlet not in outlets
        ]
        if wrong:
            raise CorrectFiles(wrong)


def wrong_names(
    step: Step,
    outlets: Container[str],
    devices: Container[str],
    brokers: Container[str] = (),
) -> list[tuple[str, str]]:
    """Find what a step names and a site does not have: ``(key, message)`` of each."""
    wrong = [
        (key, _no_outlet(name))
        for key in ("plug", "unplug", "load_step", "report_over", "outlet")
        if (name := getattr(step, key, None)) is not None and name not in outlets
    ]
    if isinstance(step, FaultStep) and step.device is not None and step.device not in devices:
        wrong.append(("device", f"no device is called {step.device!r}"))
    if isinstance(step, InputStep) and step.input not in devices:
        wrong.append(("input", f"no device is called {step.input!r}"))
    if isinstance(step, PublishStep) and step.bus not in brokers:
        wrong.append(("bus", f"no bus of kind mqtt is called {step.bus!r}"))
    if isinstance(step, HealStep) and step.heal not in outlets and step.heal not in devices:
        wrong.append(("heal", f"no outlet or device is called {step.heal!r}"))
    return wrong


def _no_outlet(name: str | None) -> str:
    return f"no outlet is called {name!r}"


def read_scenario(path: FilePath) -> Scenario:
    """Read a file. Raises CorrectFiles with everything that is wrong with it."""
    document = read_yaml(path)
    checker = _Checker(document)
    scenario = checker.scenario()
    if checker.problems or scenario is None:
        raise CorrectFiles(sorted(checker.problems, key=lambda problem: problem.line or 0))
    return scenario


def parse_step(data: Any) -> Step:
    """Check one step that came over standard input. Raises ValueError with one line."""
    if not isinstance(data, dict):
        raise ValueError("a step is an object")  # noqa: TRY004 - the input is wrong, not the caller
    verb = _verb(data)
    try:
        step: Step = _STEPS[verb].validate_python(data)
    except ValidationError as err:
        first = err.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{where}: {_told(first)}" if where else _told(first)) from err
    return step


_STEPS: dict[str, TypeAdapter[Any]] = {verb: TypeAdapter(model) for verb, model in VERBS.items()}


def _verb(data: dict[str, Any]) -> str:
    """Find the step's verb. Raises ValueError."""
    verbs = [verb for verb in VERBS if verb in data]
    if len(verbs) != 1:
        raise ValueError(f"a step has one of {', '.join(VERBS)}")
    return verbs[0]


def _told(error: Any) -> str:
    kind, message = error["type"], str(error["msg"])
    if kind == "extra_forbidden":
        return "is not a key here"
    if kind == "missing":
        return "is missing"
    message = message.removeprefix("Value error, ").removeprefix("Input ")
    return message[0].lower() + message[1:]


class _Checker:
    """Collects problems of a whole document."""

    def __init__(self, document: Document) -> None:
        self.problems: list[Problem] = []
        self._document = document

    def scenario(self) -> Scenario | None:
        data = dict(self._document.data)
        raw_steps = data.pop("steps", [])
        steps = self._steps(raw_steps if isinstance(raw_steps, list) else [])
        if not isinstance(raw_steps, list):
            self._wrong(("steps",), "is a list of steps")
        try:
            scenario = Scenario.model_validate({**data, "steps": ()})
        except ValidationError as err:
            for error in err.errors(include_url=False):
                self._wrong(self._path(error["loc"]), _told(error))
            return None
        scenario = scenario.model_copy(update={"steps": tuple(step for _, step in steps)})
        scenario._document = self._document  # noqa: SLF001 - made here
        self._check_references(scenario, steps)
        return scenario

    def _steps(self, raw: list[Any]) -> list[tuple[int, Step]]:
        steps: list[tuple[int, Step]] = []
        for index, item in enumerate(raw):
            at: Path = ("steps", index)
            if not isinstance(item, dict):
                self._wrong(at, "is a mapping such as {at_s: 1, unplug: n1-1}")
                continue
            try:
                steps.append((index, _STEPS[_verb(item)].validate_python(item)))
            except ValidationError as err:
                for error in err.errors(include_url=False):
                    self._wrong((*at, *self._path(error["loc"])), _told(error))
            except ValueError as err:
                self._wrong(at, str(err))
        return steps

    def _check_references(self, scenario: Scenario, steps: list[tuple[int, Step]]) -> None:
        ids: set[str] = set()
        for index, step in steps:
            if step.id is not None and step.id in ids:
                self._wrong(("steps", index, "id"), f"{step.id!r} stands at another step, too")
            if step.id is not None:
                ids.add(step.id)
            if isinstance(step, PlugStep) and step.load not in scenario.loads:
                self._wrong(("steps", index, "load"), f"no load is called {step.load!r}")
            if step.at_s > scenario.duration_s:
                self._wrong(("steps", index, "at_s"), "is after the end (duration_s)")
        for index, expectation in enumerate(scenario.expect):
            if expectation.after is not None and expectation.after not in ids:
                message = f"no step has the id {expectation.after!r}"
                self._wrong(("expect", index, "after"), message)
            if expectation.not_before_s > expectation.within_s:
                self._wrong(("expect", index, "not_before_s"), "is after within_s")

    def _path(self, loc: tuple[int | str, ...]) -> Path:
        """Leave out what pydantic adds for a union's member."""
        kinds = ("cc_cv", "lead_acid", "dual_pack", "standby", "appliance", "trace")
        if len(loc) > 2 and loc[0] == "loads" and loc[2] in kinds:
            return (*loc[:2], *loc[3:])
        return loc

    def _wrong(self, path: Path, message: str) -> None:
        self.problems.append(self._document.problem(path, message))
