"""Site files: what is resolved from them, and what is warned of."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import ConverterBus, FlightSettings, RtuBus, TcpBus, load_site
from gateway.core.errors import NotKnown
from gateway.core.ids import DeviceId
from gateway.guard.limits import Action
from tests.support.site_text import BASE, load, with_lines

SITES = Path(__file__).parents[2] / "config" / "sites"


@pytest.mark.parametrize("name", sorted(path.name for path in SITES.glob("*.yaml")))
def test_every_example_site_loads(name: str) -> None:
    site = load_site(SITES / name)
    assert site.outlets
    assert all(outlet.meter is not None for outlet in site.outlets)


def test_the_realistic_example_raises_no_warning() -> None:
    assert load_site(SITES / "shed.yaml").warnings == ()


def test_the_realistic_example_shows_a_feed_and_what_opens_outlets() -> None:
    site = load_site(SITES / "shed.yaml")
    (main,) = site.circuits
    assert (main.id, main.power_w, len(main.outlets)) == ("main", 14_000, 24)
    assert {each.id: len(each.outlets) for each in site.interlocks} == {"smoke": 24, "stop": 20}


def test_all_demo_sites_have_the_same_outlets_with_the_same_limits() -> None:
    tcp, rtu, converter = (
        load_site(SITES / f"demo-{by}.yaml") for by in ("tcp", "rtu", "converter")
    )
    assert tcp.outlets == rtu.outlets == converter.outlets
    assert tcp.piles == rtu.piles == converter.piles
    assert {bus.kind for bus in tcp.buses} == {"modbus-tcp"}
    assert {bus.kind for bus in rtu.buses} == {"modbus-rtu"}
    assert {bus.kind for bus in converter.buses} == {"modbus-rtu-tcp"}


@pytest.mark.parametrize("unit", [0, 255])
def test_a_device_with_a_connection_of_its_own_may_call_itself_so(
    tmp_path: Path, unit: int
) -> None:
    own = "- {id: b3, kind: modbus-tcp, host: 192.0.2.9}"
    device = f"- {{id: x1, bus: b3, unit: {unit}, profile: sdm120}}"
    lines = BASE.splitlines()
    text = "\n".join([*lines[:4], f"  {own}", *lines[4:9], f"  {device}", *lines[9:], ""])
    assert load(tmp_path, text).device(DeviceId("x1")).unit == unit


def test_a_line_behind_a_converter_is_a_bus(tmp_path: Path) -> None:
    converter = "- {id: b1, kind: modbus-rtu-tcp, host: 192.0.2.7, port: 8899, parity: E}"
    site = load(tmp_path, BASE.replace(BASE.splitlines()[2].strip(), converter))
    bus = site.buses[0]
    assert isinstance(bus, ConverterBus)
    assert (bus.host, bus.port, bus.baud, bus.parity) == ("192.0.2.7", 8_899, 9_600, "E")
    assert bus.place == "192.0.2.7:8899, a line at 9600 baud"


def test_a_site_is_resolved(tmp_path: Path) -> None:
    site = load(tmp_path, BASE)
    assert site.warnings == ()
    assert (site.id, site.name, site.state_dir) == ("s", "s", Path("/var/lib/pilegate"))
    assert site.promise_cut_off_ms == 2500
    assert site.file == tmp_path / "site.yaml"
    assert site.buses == (
        RtuBus(id=site.buses[0].id, port="/dev/ttyUSB0"),
        TcpBus(id=site.buses[1].id, host="192.0.2.1", port=5020),
    )
    assert [outlet.id for outlet in site.outlets] == [f"n1-{n}" for n in range(1, 10)] + [
        "c1",
        "c2",
    ]
    third, composed, single = site.outlet("n1-3"), site.outlet("c1"), site.outlet("c2")
    assert third.name == "Third"
    assert third.meter == third.relay
    assert (third.relay.device, third.relay.channel) == ("m1", 3)
    assert composed.meter is not None
    assert (composed.meter.device, composed.meter.channel) == ("p1", 1)
    assert (composed.relay.device, composed.relay.channel) == ("w1", 1)
    assert (single.relay.channel, single.pile, single.station) == (1, "n1", "north")
    assert site.device("d1").turnaround_ms == site.device("d1").profile.turnaround_ms == 10
    assert site.piles[0].outlets == tuple(outlet.id for outlet in site.outlets)
    assert site.stations[0].piles == ("n1",)


def test_look_ups(tmp_path: Path) -> None:
    site = load(tmp_path, BASE)
    assert site.outlets_of("outlet", "c1") == (site.outlet("c1"),)
    for kind, name in (("pile", "n1"), ("station", "north"), ("site", "s")):
        assert site.outlets_of(kind, name) == site.outlets
    assert [outlet.id for outlet in site.outlets_on("b2")] == ["c1", "c2"]
    assert len(site.outlets_on("b1")) == 10
    assert [device.id for device in site.devices_on("b1")] == ["m1", "p1"]
    assert site.bus("b2").kind == "modbus-tcp"
    for look_up in (site.outlet, site.device, site.bus, site.outlets_on, site.devices_on):
        with pytest.raises(NotKnown, match="'nothing' in site s"):
            look_up("nothing")
    with pytest.raises(NotKnown, match="no pile 'north' in site s"):
        site.outlets_of("pile", "north")


def test_settings_are_read(tmp_path: Path) -> None:
    site = load(
        tmp_path,
        "state_dir: ./state\npromise: {cut_off_ms: 1500}\n"
        "guard: {socket_group: pilegate, journal_max_mb: 64, minutes_retention_days: 7, "
        "flights: {before_s: 300, max_mb: 8}}\n"
        'serve: {listen: "[::1]:0", database: "postgresql://db/x", '
        "events_retention_days: 30}\n"
        + with_lines(
            {9: "- {id: d1, bus: b2, unit: 2, profile: dds238-2-zn-sr, turnaround_ms: 0}"}
        ),
    )
    assert site.state_dir == tmp_path / "state"
    assert site.promise_cut_off_ms == 1500
    assert site.guard.socket_group == "pilegate"
    assert (site.guard.journal_max_mb, site.guard.minutes_retention_days) == (64, 7)
    assert site.guard.flights == FlightSettings(before_s=300, max_mb=8)
    assert (site.serve.host, site.serve.port) == ("::1", 0)
    assert site.serve.database == "postgresql://db/x"
    assert site.serve.events_retention_days == 30
    assert site.device("d1").turnaround_ms == 0


def test_tls_allows_another_address_than_loopback(tmp_path: Path) -> None:
    site = load(
        tmp_path, 'serve: {listen: "0.0.0.0:443", tls: {cert: c.pem, key: /k.pem}}\n' + BASE
    )
    assert site.serve.tls is not None
    assert (site.serve.tls.cert, site.serve.tls.key) == (tmp_path / "c.pem", Path("/k.pem"))
    assert [warning.rpartition(": ")[0].rpartition(": ")[0] for warning in site.warnings] == [
        f"{tmp_path}/site.yaml:1: serve.tls.cert",
        f"{tmp_path}/site.yaml:1: serve.tls.key",
    ]


def test_an_own_profile_is_found_and_may_hide_a_built_in_one(tmp_path: Path) -> None:
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "waveshare-relay-8.yaml").write_text(
        "profile: waveshare-relay-8\nname: Mine\nsource: here\nchannels: 1\n"
        "relay: {style: coil, address: 0}\n",
        encoding="utf-8",
    )
    site = load(tmp_path, "profiles: [./profiles]\n" + BASE)
    assert site.device("w1").profile.name == "Mine"
    assert len(site.warnings) == 2
    assert "hides the built-in profile 'waveshare-relay-8'" in site.warnings[0]
    assert "no relay_on among the values" in site.warnings[1]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {19: "- {id: c1, relay: {device: w1}}"},
            [
                "7: devices[1].id: no outlet uses device 'p1'",
                (
                    "19: stations[0].piles[0].outlets[0]: outlet 'c1' has no meter: nothing can "
                    "protect it from an overload"
                ),
            ],
        ),
        (
            {19: "- {id: c1, device: w1, channel: 8}"},
            [
                "7: devices[1].id: no outlet uses device 'p1'",
                (
                    "19: stations[0].piles[0].outlets[0]: outlet 'c1' has no meter: nothing can "
                    "protect it from an overload"
                ),
            ],
        ),
        (
            {4: "- {id: b2, kind: modbus-tcp, host: a}\n- {id: b3, kind: modbus-tcp, host: b}"},
            ["5: buses[2].id: no device on bus 'b3'"],
        ),
        (
            {10: "limits: {unplugged: {delay_s: 19}, no_load: {delay_s: 5}, full: {settle_s: 3}}"},
            [
                "10: limits.unplugged.delay_s: 19 s is shorter than the 20 s",
                "10: limits.full.settle_s: 3 s is shorter than the 20 s",
                "10: limits.no_load.delay_s: 5 s leaves little time to plug in",
            ],
        ),
    ],
)
def test_what_is_odd_is_warned_of(
    tmp_path: Path, changes: dict[int, str], expected: list[str]
) -> None:
    warnings = load(tmp_path, with_lines(changes)).warnings
    assert len(warnings) == len(expected), warnings
    for warning, start in zip(warnings, expected, strict=True):
        assert warning.startswith(f"{tmp_path}/site.yaml:{start}")


def test_an_empty_site_is_warned_of(tmp_path: Path) -> None:
    site = load(tmp_path, "site: {id: s}\nbuses: []\ndevices: []\nstations: []\n")
    assert site.outlets == ()
    assert [warning.partition(": ")[2] for warning in site.warnings] == [
        "stations: no outlets at all"
    ]


def test_action_off_is_not_a_boolean(tmp_path: Path) -> None:
    site = load(tmp_path, with_lines({10: "limits: {overpower: {action: off}}"}))
    overpower = site.outlet("c1").limits.overpower
    assert overpower is not None
    assert overpower.action is Action.OFF


def test_a_big_site_has_all_its_outlets(tmp_path: Path) -> None:
    lines = ["site: {id: big}", "buses:"]
    lines += [f"  - {{id: b{n}, kind: modbus-tcp, host: h{n}}}" for n in range(100)]
    lines += ["devices:"]
    lines += [f"  - {{id: m{n}, bus: b{n}, unit: 1, profile: pilegate-ref10}}" for n in range(100)]
    lines += ["stations:", "  - id: all", "    piles:"]
    for n in range(100):
        lines += [f"      - id: p{n}", "        outlets:"]
        lines += [
            f"          - {{id: p{n}-{k}, device: m{n}, channel: {k}, "
            f"limits: {{overpower: {{above_w: {1000 + k}}}}}}}"
            for k in range(1, 11)
        ]
    site = load(tmp_path, "\n".join(lines))
    assert len(site.outlets) == 1000
    last = site.outlet("p99-10").limits.overpower
    assert last is not None
    assert last.above_w == 1010
