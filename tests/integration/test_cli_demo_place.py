"""The site file of one run: nothing it names is outside the run's directory, or taken."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import yaml

from gateway.config.site import load_site
from gateway.core.errors import CorrectFiles
from gateway.demo.place import make_folder, resolve

SITES = Path(__file__).parents[2] / "config" / "sites"


@pytest.mark.parametrize("by", ["tcp", "rtu"])
def test_two_runs_share_nothing(tmp_path: Path, by: str) -> None:
    template = SITES / f"demo-{by}.yaml"
    one, two = (resolve(template, make_folder(tmp_path / "runs")) for _ in range(2))
    sites = [load_site(place.site_file) for place in (one, two)]
    assert one.folder != two.folder
    assert [site.state_dir for site in sites] == [one.state_dir, two.state_dir]
    for place, site in zip((one, two), sites, strict=True):
        assert (site.serve.host, site.serve.port) == (place.api_host, place.api_port)
        assert (place.state_dir / site.serve.database).parent.is_relative_to(place.folder)
        for bus in site.buses:
            if hasattr(bus, "host"):
                assert bus.host == "127.0.0.1"
            else:
                assert Path(bus.port).is_relative_to(place.folder)


def test_everything_else_stays_as_it_is(tmp_path: Path) -> None:
    template = SITES / "demo-tcp.yaml"
    place = resolve(template, tmp_path)
    before = yaml.safe_load(template.read_text(encoding="utf-8"))
    after = yaml.safe_load(place.site_file.read_text(encoding="utf-8"))
    for changed in ("state_dir", "serve", "buses"):
        before.pop(changed, None)
        after.pop(changed, None)
    assert after == before


def test_ports_are_free_and_differ(tmp_path: Path) -> None:
    place = resolve(SITES / "demo-tcp.yaml", tmp_path)
    buses = yaml.safe_load(place.site_file.read_text(encoding="utf-8"))["buses"]
    ports = [bus["port"] for bus in buses] + [place.api_port]
    assert len(set(ports)) == len(ports)
    for port in ports:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))


@pytest.mark.parametrize("text", ["", "- a list", "buses: nothing", "a: [", "\x00", "buses: [1]"])
def test_a_template_that_is_no_site_is_named(tmp_path: Path, text: str) -> None:
    template = tmp_path / "site.yaml"
    template.write_text(text, encoding="utf-8")
    with pytest.raises(CorrectFiles, match=r"site\.yaml"):
        resolve(template, make_folder(tmp_path / "runs"))


def test_words_stay_words_in_the_copy(tmp_path: Path) -> None:
    """For YAML 1.1, ``off`` is false: a rule with ``action: off`` was refused in the copy."""
    template = tmp_path / "site.yaml"
    text = (SITES / "demo-tcp.yaml").read_text(encoding="utf-8")
    changed = text.replace("full: {", "full: {action: off, ")
    assert changed != text
    template.write_text(changed, encoding="utf-8")
    place = resolve(template, make_folder(tmp_path / "runs"))
    rule = load_site(place.site_file).outlet("n1-1").limits.full
    assert rule is not None
    assert rule.action == "off"
