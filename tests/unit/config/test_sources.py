"""Settings: precedence, and mistakes that say where they stand."""

from __future__ import annotations

import pytest

from emulator.api.errors import ConfigError
from emulator.config.presets import address_plan, node_address
from emulator.config.sources import FileConfig, build_config, expand_services, from_environment, merged, parse_file

HEAD = "apiVersion: kubemu.dev/v1alpha1\nkind: ClusterConfig\n"


def test_flags_win_over_environment_over_file() -> None:
    file = parse_file(HEAD + "dnsPort: 1\nnodes: 3\napiPort: 7\n", "kubemu.yaml")
    settings = merged({"dns-port": 3, "nodes": None}, {"KUBEMU_DNS_PORT": "2", "KUBEMU_NODES": "2"}, file)
    assert settings == {"dns-port": 3, "nodes": 2, "api-port": 7}
    config = build_config(settings, "loopback")
    assert (config.dns_port, config.nodes, config.api_port) == (3, 2, 7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + "dnsport: 1\n", "f.yaml:3: unknown key 'dnsport'"),
        (HEAD + "nodes: many\n", "f.yaml:3: nodes: 'many' is not a number from 0 to 200"),
        (HEAD + "nodes: true\n", "f.yaml:3: nodes: True is not a number"),
        (HEAD + "network: wifi\n", "f.yaml:3: network: 'wifi' is not one of auto, sandbox, loopback, host"),
        (HEAD + "isolated: perhaps\n", "f.yaml:3: isolated: 'perhaps' is neither true nor false"),
        ("kind: ClusterConfig\n", "f.yaml:1: apiVersion must be kubemu.dev/v1alpha1"),
        ("- a\n", "f.yaml:1: a mapping"),
        ("a: [\n", "f.yaml:2: "),
        (HEAD + "services: {w: {port: 80}}\n", "f.yaml: services.w.to: None is not HOST:PORT"),
        (HEAD + "services: {w: {port: 0, to: 'a:1'}}\n", "services.w.port: 0 is not a port number"),
        (HEAD + "services: {w: {port: 1, too: 'a:1'}}\n", "services.w: unknown key 'too'"),
    ],
)
def test_a_mistake_in_the_file_names_file_and_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_file(text, "f.yaml")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_environment_mistake_names_the_variable() -> None:
    with pytest.raises(ConfigError, match="KUBEMU_API_PORT: '70000' is not a number from 0 to 65535"):
        from_environment({"KUBEMU_API_PORT": "70000"})


def test_loopback_plan_keeps_the_rest_of_each_address() -> None:
    plan = address_plan("microk8s", "loopback")
    assert (plan.dns, plan.kubernetes) == ("127.152.183.10", "127.152.183.1")
    assert node_address(plan, 3) == "127.0.0.1"
    plan = address_plan("kubeadm", "sandbox")
    assert (plan.dns, str(plan.pods), node_address(plan, 3)) == ("10.96.0.10", "10.244.0.0/16", "10.0.0.3")


@pytest.mark.parametrize("cidr", ["10.0.0.1/24", "x", "10.0.0.0/30"])
def test_bad_ranges_are_refused(cidr: str) -> None:
    with pytest.raises(ConfigError, match="service-cidr"):
        address_plan("microk8s", "sandbox", service_cidr=cidr)


def test_short_form_becomes_a_service_and_a_backed_pod() -> None:
    service, pod = expand_services({"webapp": {"port": 8080, "to": "localhost:3000"}})
    assert service["spec"]["ports"] == [{"port": 8080}]
    assert pod["metadata"]["annotations"] == {"kubemu.dev/backend": "localhost:3000"}
    assert pod["metadata"]["labels"] == service["spec"]["selector"]


def test_an_absent_store_is_an_error_not_a_silent_memory_store() -> None:
    with pytest.raises(ConfigError, match="store"):
        build_config(merged({"store": "sqlite"}, {}, FileConfig()), "loopback")
