from __future__ import annotations

from emulator.node.probes import ProbeState, ProbeType, port_number, probe_spec, probe_specs


def state(type: ProbeType, **numbers: int) -> ProbeState:
    return ProbeState(probe_spec(type, {"tcpSocket": {"port": 80}, **numbers}))


def test_defaults() -> None:
    spec = probe_spec("readiness", {"httpGet": {"port": 80}})
    assert (spec.initial_delay_seconds, spec.timeout_seconds, spec.period_seconds) == (0, 1, 10)
    assert (spec.success_threshold, spec.failure_threshold, spec.action) == (1, 3, "httpGet")


def test_readiness_needs_its_successes_and_its_failures_in_a_row() -> None:
    probe = state("readiness", successThreshold=2, failureThreshold=2)
    assert not probe.passed
    assert [probe.record(True), probe.passed] == [False, False]
    assert [probe.record(True), probe.passed] == [True, True]
    assert [probe.record(False), probe.record(True), probe.record(False), probe.passed] == [False, False, False, True]
    assert [probe.record(False), probe.passed, probe.must_restart] == [True, False, False]


def test_liveness_demands_a_restart_after_its_failures() -> None:
    probe = state("liveness", failureThreshold=2)
    assert probe.passed
    probe.record(False)
    assert not probe.must_restart
    assert probe.record(False)
    assert probe.must_restart


def test_startup_has_not_passed_until_it_succeeds_and_restarts_when_it_never_does() -> None:
    probe = state("startup", failureThreshold=1)
    assert not probe.passed
    assert not probe.must_restart
    assert probe.record(False)
    assert probe.must_restart


def test_named_ports_and_declared_probes() -> None:
    container = {"ports": [{"name": "http", "containerPort": 8080}], "livenessProbe": {"exec": {"command": ["true"]}}}
    assert port_number("http", container) == 8080
    assert port_number(81, container) == port_number("81", container) == 81
    assert port_number("nope", container) is None
    assert [(spec.type, spec.action) for spec in probe_specs(container)] == [("liveness", "exec")]
