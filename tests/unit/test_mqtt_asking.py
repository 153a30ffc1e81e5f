"""Plugs that are asked: at their own pace, a few in one go; old answers are no news."""

from __future__ import annotations

import asyncio
import json
from functools import partial

import pytest

from drivers.mqtt.plugs import PLUGS_AT_ONCE
from tests.support.mqtt_script import (
    Stage,
    gen2,
    native,
    play,
    zigbee,
)
from tests.support.mqtt_site import plug


def test_a_bridge_that_repeats_old_values_gives_them_no_new_time() -> None:
    async def story(stage: Stage) -> None:
        topic = "zigbee2mqtt/a"
        await asyncio.sleep(5)  # what was asked at the start is not answered any more
        stage.say(topic, {"state": "ON", "power": 56, "current": 0.25})
        assert stage.recorder.samples == []
        stage.say(topic, {"state": "ON", "power": 57, "current": 0.25})
        assert stage.recorder.last("a-1").power_w == 57
        assert stage.recorder.last("a-1").current_a is None
        stage.say(topic, {"state": "OFF", "power": 57, "current": 0.25})
        assert stage.recorder.last("a-1").relay_on is False
        assert stage.recorder.last("a-1").power_w is None
        count = len(stage.recorder.samples)
        stage.say(topic, {"state": "OFF", "power": 0, "current": 0})
        assert stage.recorder.last("a-1").power_w == 0
        stage.say(topic, {"state": "OFF", "power": 0, "current": 0, "linkquality": 3})
        assert stage.recorder.last("a-1").power_w == 0  # nothing else shows an unused outlet
        assert len(stage.recorder.samples) == count + 2

    play(story, zigbee)


def test_what_was_asked_for_is_news_and_an_old_message_of_the_broker_is_not() -> None:
    async def story(stage: Stage) -> None:
        stage.say("zigbee2mqtt/a", {"state": "ON", "power": 56}, retained=True)
        assert stage.recorder.samples == []
        stage.say("zigbee2mqtt/a", {"state": "ON", "power": 56})
        assert stage.recorder.last("a-1").relay_on is True
        assert stage.recorder.last("a-1").power_w is None

    play(story, zigbee)


def test_an_answer_to_a_question_nobody_asked_is_not_taken() -> None:
    async def story(stage: Stage) -> None:
        asked = [json.loads(text) for _, text, _ in stage.wire.take("/rpc")]
        assert [each["method"] for each in asked] == ["Switch.GetStatus", "Switch.GetConfig"]
        result = {"id": 0, "output": True, "apower": 7}
        stage.say("guard/a/rpc", {"id": asked[0]["id"] + 400, "src": "a", "result": result})
        assert stage.recorder.samples == []
        assert stage.driver.stats().errors == {"stray": 1}
        stage.say("guard/a/rpc", {"id": asked[0]["id"], "src": "a", "result": result})
        assert stage.recorder.last("a-1").power_w == 7
        stage.say("guard/a/rpc", {"id": asked[0]["id"], "src": "a", "result": result})
        assert len(stage.recorder.samples) == 1

    play(story, gen2)


def test_plugs_are_asked_one_after_the_other_at_their_own_pace() -> None:
    async def story(stage: Stage) -> None:
        await asyncio.sleep(20)
        asked = [topic for topic, _, _ in stage.wire.take()]
        fast = asked.count("pilegate/a/ask")
        slow = asked.count("shellies/b/command")
        assert 18 <= fast <= 23
        assert 9 <= slow <= 12

    play(story, native, lambda: plug("b", "shelly-plug-s"))


@pytest.mark.parametrize("count", [3, 100])
def test_plugs_are_asked_once_a_round_and_only_a_few_of_them_in_one_go(count: int) -> None:
    async def story(stage: Stage) -> None:
        await asyncio.sleep(1.0)
        for number in range(count):
            telemetry = {"outlets": [{"channel": 1, "relay_on": False}]}
            stage.say(f"pilegate/p{number}/telemetry", telemetry)
        await asyncio.sleep(1.0)
        stage.wire.take()
        asked: list[list[str]] = []
        for _ in range(1_000):
            await asyncio.sleep(0.001)
            asked.append([topic for topic, _, _ in stage.wire.take("ask")])
        topics = [topic for some in asked for topic in some]
        assert sorted(topics) == sorted(f"pilegate/p{number}/ask" for number in range(count))
        assert max(map(len, asked)) <= PLUGS_AT_ONCE

    play(story, *(partial(plug, f"p{n}", "pilegate-native") for n in range(count)))


def test_many_plugs_are_asked_as_often_as_a_short_poll_period_says() -> None:
    async def story(stage: Stage) -> None:
        await asyncio.sleep(1.0)
        stage.wire.take()
        await asyncio.sleep(1.0)
        asked = [topic for topic, _, _ in stage.wire.take("ask")]
        assert 19 <= asked.count("pilegate/p0/ask") <= 21

    often = {"ask_ms": 50, "min_gap_ms": 0}
    plugs = (partial(plug, f"p{n}", "pilegate-native", profile_changes=often) for n in range(400))
    play(story, *plugs, poll_ms=50)
