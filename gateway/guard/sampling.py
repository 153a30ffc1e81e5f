"""PURE: what a sample changes."""

from __future__ import annotations

from types import MappingProxyType

from gateway.core.facts import FactKind
from gateway.core.reasons import Reason
from gateway.guard import charge as charges
from gateway.guard import contact, energy, load, rules, still
from gateway.guard.clearing import clear
from gateway.guard.intake import news
from gateway.guard.limits import Action, Release
from gateway.guard.model import Sample
from gateway.guard.state import Finding, Measured, Phase
from gateway.guard.stopping import confirm, flow, no_reaction, welded
from gateway.guard.turn import ACTIVE, UNSWITCHED, Turn, act, alarm, clear_alarms, hurry, stop

EVIDENCE_SAMPLES = 8

_ORDER = {Action.CUT: 0, Action.OFF: 1, Action.ALARM: 2}


def take(turn: Turn, sample: Sample) -> None:
    """Take a sample in, judge it, and do what the rules ask for."""
    before = turn.state.measured
    told = news(before, sample, turn.now.mono_ms)
    if told is None:
        return
    measured = newer(before, told)
    if measured is before:
        _count_register(turn, told)
        return
    sample = told
    recent = (*turn.state.recent[1 - EVIDENCE_SAMPLES :], sample)
    turn.state = turn.state._replace(measured=measured, recent=recent)
    findings = _judge(turn, before, sample)
    _stand_still(turn, before)
    if turn.state.phase in ACTIVE:
        _deliver(turn, sample)
        findings += _ends(turn) + _frozen(turn)
        _act(turn, findings)
        if turn.state.phase in ACTIVE:
            _follow_relay(turn, sample)
    elif turn.state.phase is Phase.STOPPING:
        _latch_faults(turn, findings)
        _hurry_inverse(turn, sample)
        confirm(turn, sample)
    else:
        _watch_idle(turn, sample, findings)
    clear(turn, before, sample)


def hold(turn: Turn, at_ms: int) -> None:
    """Judge what flows on: a device that tells changes is there, and has told none.

    The values keep their times; what lasts is their cause, the charge and its energy.
    """
    state = turn.state
    measured = state.measured
    if state.phase not in ACTIVE or at_ms <= max(measured.current_ms or 0, measured.power_ms or 0):
        return
    flowing = Sample(
        at_ms=at_ms,
        utc_ms=turn.now.utc_ms,
        voltage_v=measured.voltage_v,
        current_a=measured.current_a,
        power_w=measured.power_w,
        temperature_c=measured.temperature_c,
        alarm=measured.alarm,
    )
    findings = _judge(turn, measured, flowing)
    _deliver(turn, flowing)
    _act(turn, findings + _ends(turn))


def newer(measured: Measured, sample: Sample) -> Measured:
    """Keep the newer value of each quantity; the same object if the sample held none."""
    at_ms = sample.at_ms
    relay_on, relay_ms = measured.relay_on, measured.relay_ms
    voltage_v, voltage_ms = measured.voltage_v, measured.voltage_ms
    current_a, current_ms = measured.current_a, measured.current_ms
    power_w, power_ms = measured.power_w, measured.power_ms
    temperature_c, temperature_ms = measured.temperature_c, measured.temperature_ms
    alarm, alarm_ms = measured.alarm, measured.alarm_ms
    fresh = False
    if sample.relay_on is not None and (relay_ms is None or at_ms > relay_ms):
        relay_on, relay_ms, fresh = sample.relay_on, at_ms, True
    if sample.voltage_v is not None and (voltage_ms is None or at_ms > voltage_ms):
        voltage_v, voltage_ms, fresh = sample.voltage_v, at_ms, True
    if sample.current_a is not None and (current_ms is None or at_ms > current_ms):
        current_a, current_ms, fresh = sample.current_a, at_ms, True
    if sample.power_w is not None and (power_ms is None or at_ms > power_ms):
        power_w, power_ms, fresh = sample.power_w, at_ms, True
    if sample.temperature_c is not None and (temperature_ms is None or at_ms > temperature_ms):
        temperature_c, temperature_ms, fresh = sample.temperature_c, at_ms, True
    if sample.alarm is not None and (alarm_ms is None or at_ms > alarm_ms):
        alarm, alarm_ms, fresh = sample.alarm, at_ms, True
    if not fresh:
        return measured
    return Measured(
        relay_on,
        relay_ms,
        voltage_v,
        voltage_ms,
        current_a,
        current_ms,
        power_w,
        power_ms,
        temperature_c,
        temperature_ms,
        alarm,
        alarm_ms,
        sample.utc_ms,
    )


def _act(turn: Turn, findings: list[Finding]) -> None:
    """Do what the rules ask for, the strictest first."""
    for finding in sorted(findings, key=lambda f: _ORDER[f.action]):
        if turn.state.phase in ACTIVE or finding.action is Action.CUT:
            act(turn, finding)


def _judge(turn: Turn, before: Measured, sample: Sample) -> list[Finding]:
    lease = turn.state.lease
    held = turn.state.holds
    judged = rules.causes(sample, turn.limits, lease.power_w if lease else None, held)
    holds, findings = rules.hold(held, judged, sample.at_ms)
    share = turn.state.inverse_share
    inverse = turn.limits.overcurrent_inverse
    if inverse is not None and sample.current_a is not None and turn.state.phase in ACTIVE:
        judged_ms = max(before.current_ms or 0, turn.state.alive_ms or 0)
        elapsed_ms = 0 if before.current_ms is None else sample.at_ms - judged_ms
        # A gap that silence would have ended is not held against the load.
        elapsed_ms = min(elapsed_ms, _longest_gap_ms(turn))
        share, tripped = rules.inverse(inverse, share, sample.current_a, elapsed_ms)
        if tripped is not None:
            findings.append(tripped)
    if holds is not turn.state.holds or share != turn.state.inverse_share:
        turn.state = turn.state._replace(holds=holds, inverse_share=share)
    return findings


def _deliver(turn: Turn, sample: Sample) -> None:
    state = turn.state
    counted = energy.add(state.energy, sample, _longest_gap_ms(turn))
    charge = state.charge
    if sample.power_w is not None and charge is not None:
        was, charge = charge, charges.follow(charge, sample.power_w, sample.at_ms, turn.limits)
        charge = contact.follow(was, charge)
        if charges.falls(charge, sample.at_ms):
            charge = charge._replace(fall=state.recent)
    plugged = load.follow(state.plugged, sample)
    turn.state = state._replace(energy=counted, charge=charge, plugged=plugged)


def _count_register(turn: Turn, sample: Sample) -> None:
    """Take in what a meter says of its energy alone: many have it in a read of its own."""
    if sample.energy_mwh is not None and turn.state.phase in ACTIVE:
        counted = energy.add(turn.state.energy, sample, _longest_gap_ms(turn))
        turn.state = turn.state._replace(energy=counted)


def _longest_gap_ms(turn: Turn) -> int:
    return round(turn.limits.silence.delay_s * 1000)


def _ends(turn: Turn) -> list[Finding]:
    state = turn.state
    found: list[Finding] = []
    stranger = _stranger(turn)
    if stranger is not None:
        found.append(stranger)
    loose = contact.judge(turn)
    if loose is not None:
        found.append(loose)
    if state.charge is not None:
        ended = charges.ending(state.charge, turn.limits, turn.now.mono_ms)
        if ended is not None:
            found.append(ended)
    lease = state.lease
    if lease is not None and lease.energy_mwh is not None:
        used_mwh = energy.total_mwh(state.energy)
        if used_mwh >= lease.energy_mwh:
            evidence = {"energy_mwh": used_mwh, "limit_mwh": lease.energy_mwh}
            found.append(plain(Reason.LEASE_ENERGY, evidence))
    return found


def _stranger(turn: Turn) -> Finding | None:
    """Say so when what is plugged in has looked like no charger for long enough."""
    rule, state = turn.limits.wrong_appliance, turn.state
    if rule is None:
        return None
    found = load.judge(state.plugged, rule)
    since_ms = state.holds.get(Reason.WRONG_APPLIANCE)
    at_ms = state.plugged.sample_ms
    if found.kind is not load.Kind.APPLIANCE or found.level_w <= rule.resistive_above_w:
        # What is no longer certain is not over: at an edge the alarm would come and go.
        is_told = Reason.WRONG_APPLIANCE in state.alarms and found.kind is load.Kind.UNKNOWN
        if not is_told:
            turn.drop_hold(Reason.WRONG_APPLIANCE)
        return None
    if since_ms is None:
        # A load that becomes strange later is so from then on, any other from its first sample:
        # polls that are lost while it takes four to judge delay nothing.
        seen_ms = state.plugged.since_ms or at_ms
        is_late = found.level_w > rule.above_w or at_ms - seen_ms > rule.delay_s * 1000
        since_ms = at_ms if is_late and state.plugged.samples > load.ENOUGH else seen_ms
        holds = MappingProxyType({**state.holds, Reason.WRONG_APPLIANCE: since_ms})
        turn.state = state._replace(holds=holds)
    if at_ms - since_ms < rule.delay_s * 1000:
        return None
    return Finding(
        reason=Reason.WRONG_APPLIANCE,
        action=rule.action,
        release=rule.release,
        cooldown_s=rule.cooldown_s,
        evidence={
            "kind": found.kind.value,
            "confidence": found.confidence,
            "level_w": round(found.level_w, 1),
            "power_factor": None if found.power_factor is None else round(found.power_factor, 3),
            "stepped": found.stepped,
            "ripple": None if found.ripple is None else round(found.ripple, 4),
            "held_ms": at_ms - since_ms,
        },
    )


def _stand_still(turn: Turn, before: Measured) -> None:
    rule, state = turn.limits.frozen_meter, turn.state
    if rule is not None and state.alive_ms is None:
        moved = still.follow(state.still, before, state.measured, rule)
        if moved is not state.still:
            turn.state = state._replace(still=moved)


def _frozen(turn: Turn) -> list[Finding]:
    """Say so when a meter has shown the same for longer than any load and mains stand still."""
    rule, state = turn.limits.frozen_meter, turn.state
    if rule is None or state.alive_ms is not None:
        return []
    found = still.frozen(state.still, state.measured, rule)
    if found is None:
        turn.drop_hold(Reason.FROZEN_METER)
        return []
    if Reason.FROZEN_METER not in state.holds:
        holds = MappingProxyType({**state.holds, Reason.FROZEN_METER: state.still.since_ms})
        turn.state = state._replace(holds=holds)
    return [
        Finding(
            reason=Reason.FROZEN_METER,
            action=rule.action,
            release=rule.release,
            cooldown_s=rule.cooldown_s,
            evidence={"power_w": found.power_w, "held_ms": found.held_ms},
        )
    ]


def _follow_relay(turn: Turn, sample: Sample) -> None:
    state = turn.state
    if sample.relay_on is None or sample.at_ms <= state.phase_ms:
        return
    if state.phase is Phase.STARTING and sample.relay_on and state.lease is not None:
        turn.state = state._replace(phase=Phase.ON, phase_ms=turn.now.mono_ms)
        clear_alarms(turn, frozenset({Reason.NO_REACTION}))
        turn.note(
            FactKind.OUTLET_ON,
            actor=state.lease.actor,
            data={
                "lease_id": state.lease.id,
                "request_id": state.lease.request_id,
                "after_ms": turn.now.mono_ms - state.phase_ms,
            },
        )
    elif state.phase is Phase.STARTING:
        waited_ms = turn.now.mono_ms - state.phase_ms
        if waited_ms >= turn.limits.no_reaction.delay_s * 1000:
            detail = "the relay stays open although told to close"
            act(turn, no_reaction(turn.limits, waited_ms, detail))
    elif not sample.relay_on:
        # It went off by itself (its own timer, its own limit, a hand): never switched on again.
        evidence = {"detail": "the relay opened although it was not told to"}
        stop(turn, Reason.INTERRUPTED, evidence=evidence)


def _latch_faults(turn: Turn, findings: list[Finding]) -> None:
    """Latch what was measured while an OFF is on its way: the fault outlives the request."""
    for finding in findings:
        if finding.action is Action.CUT and finding.release is not Release.AUTOMATIC:
            act(turn, finding)
        elif finding.action is not Action.ALARM:
            hurry(turn)


def _hurry_inverse(turn: Turn, sample: Sample) -> None:
    """Hurry an OFF at a current above the pick-up: time runs towards a trip under a lease alone."""
    rule = turn.limits.overcurrent_inverse
    if rule is None or rule.action is Action.ALARM or sample.current_a is None:
        return
    if abs(sample.current_a) > rule.pickup_a:
        hurry(turn)


def _watch_idle(turn: Turn, sample: Sample, findings: list[Finding]) -> None:
    """Keep an outlet that was not told to go on off; tell a relay that says otherwise again."""
    for finding in findings:
        if finding.reason is Reason.OVERTEMPERATURE:
            alarm(turn, finding.reason, finding.evidence)
    if sample.relay_on:
        if turn.state.phase in UNSWITCHED:
            evidence = {"detail": "the relay was found closed before it was told to close"}
            stop(turn, Reason.INTERRUPTED, evidence=evidence)
        stop(turn, Reason.NO_LEASE)
        alarm(turn, Reason.NO_LEASE, {"detail": "found on without a lease: switched off"})
        return
    _hold_welded(turn, sample)


def _hold_welded(turn: Turn, sample: Sample) -> None:
    flowing = flow(turn.state.measured)
    if flowing is None or flowing.at_ms != sample.at_ms:
        return
    rule = turn.limits.welded
    since_ms = turn.state.holds.get(Reason.WELDED)
    if flowing.current_a <= rule.above_a:
        turn.drop_hold(Reason.WELDED)
    elif since_ms is None:
        holds = MappingProxyType({**turn.state.holds, Reason.WELDED: sample.at_ms})
        turn.state = turn.state._replace(holds=holds)
    elif sample.at_ms - since_ms >= rule.delay_s * 1000:
        act(turn, welded(turn.limits, flowing.current_a, sample.at_ms - since_ms))


def plain(reason: Reason, evidence: dict[str, int]) -> Finding:
    """Make the finding of an end that is no fault: off, and free again."""
    return Finding(
        reason=reason,
        action=Action.OFF,
        release=Release.OPERATOR,
        cooldown_s=60.0,
        evidence=evidence,
    )
