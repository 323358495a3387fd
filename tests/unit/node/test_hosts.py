from __future__ import annotations

from emulator.node.hosts import hosts_file, pod_hostname, system_hostname


def test_a_plain_pod() -> None:
    text = hosts_file({"metadata": {"name": "web"}, "spec": {}}, ("10.1.0.3",), "cluster.local")
    assert text.splitlines()[0] == "# Kubernetes-managed hosts file."
    assert text.endswith("fe00::2\tip6-allrouters\n10.1.0.3\tweb\n")


def test_subdomain_and_aliases() -> None:
    pod = {
        "metadata": {"name": "web-0", "namespace": "shop"},
        "spec": {
            "hostname": "web-0",
            "subdomain": "web",
            "setHostnameAsFQDN": True,
            "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a", "b"]}],
        },
    }
    text = hosts_file(pod, ("10.1.0.3",), "cluster.local")
    assert "10.1.0.3\tweb-0.web.shop.svc.cluster.local\tweb-0\n" in text
    assert text.endswith("\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n")
    assert system_hostname(pod, "cluster.local") == "web-0.web.shop.svc.cluster.local"


def test_host_network_shows_the_nodes_file() -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"hostNetwork": True}}
    text = hosts_file(pod, ("10.0.0.1",), "cluster.local", node_hosts_text="127.0.0.1 me\n")
    assert text == "# Kubernetes-managed hosts file (host network).\n127.0.0.1 me\n"


def test_a_long_name_is_cut_to_a_label() -> None:
    assert pod_hostname({"metadata": {"name": "a" * 62 + "-bcd"}}) == "a" * 62
