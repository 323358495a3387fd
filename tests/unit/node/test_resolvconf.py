from __future__ import annotations

from typing import Any

from emulator.node.resolvconf import ResolvConf, parse_resolv_conf, pod_resolv_conf

NODE = "nameserver 192.168.1.1\nnameserver 192.168.1.2\nsearch corp.example lan\noptions timeout:2 attempts:3\n"


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p", "namespace": "default", "uid": "u"}, "spec": spec}


def made(
    node: str | None = NODE, *, dns: tuple[str, ...] = ("10.152.183.10",), domain: str = "cluster.local", **spec: Any
) -> ResolvConf:
    return pod_resolv_conf(pod(**spec), node, dns, domain)


def test_cluster_first_is_the_default_and_its_text_has_the_runtimes_order() -> None:
    assert made().text() == (
        "search default.svc.cluster.local svc.cluster.local cluster.local corp.example lan\n"
        "nameserver 10.152.183.10\n"
        "options ndots:5\n"
    )


def test_without_cluster_dns_it_falls_back_and_says_so() -> None:
    conf = made(dns=())
    assert conf.nameservers == ("192.168.1.1", "192.168.1.2")
    assert [event.reason for event in conf.events] == ["MissingClusterDNS"]


def test_without_a_domain_only_the_nodes_search_list_is_left() -> None:
    assert made(domain="").searches == ("corp.example", "lan")


def test_an_empty_path_means_the_loopback_server_of_the_nodes_family() -> None:
    conf = pod_resolv_conf(pod(dnsPolicy="Default"), None, (), "", node_ips=["fd00::1", "10.0.0.1"])
    assert conf.nameservers == ("::1", "127.0.0.1")
    assert conf.searches == (".",)


def test_the_pods_options_win_and_one_without_value_stands_alone() -> None:
    config = {"options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]}
    assert made(dnsConfig=config).options == ("ndots:2", "edns0")


def test_limits_cut_the_tail_with_an_event_each() -> None:
    config = {"nameservers": ["1.1.1.1", "2.2.2.2", "3.3.3.3"], "searches": [f"s{n:03}.example" for n in range(40)]}
    conf = made(dnsConfig=config)
    assert conf.nameservers == ("10.152.183.10", "1.1.1.1", "2.2.2.2")
    assert len(conf.searches) == 32
    assert [event.reason for event in conf.events] == ["DNSConfigForming", "DNSConfigForming"]


def test_a_search_list_over_2048_characters_is_cut_and_a_long_entry_skipped() -> None:
    long = [f"{letter}" * 200 + ".example" for letter in "abcdefghijklm"]
    conf = made(node="", dnsPolicy="None", dnsConfig={"searches": ["x" * 254, *long]})
    assert len(" ".join(conf.searches)) <= 2048
    assert conf.searches == tuple(long[:9])


def test_the_nodes_file_last_search_wins_dots_are_trimmed_comments_ignored() -> None:
    conf = parse_resolv_conf("# c\nsearch a.\nsearch b. . c\nnameserver\noptions x:1\noptions x:2 y\n;z\n")
    assert conf.searches == ("b", "c")
    assert conf.nameservers == ()
    assert conf.options == ("x:2", "y")
