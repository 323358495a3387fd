"""Who may come in: ServiceAccounts' tokens, and the questions that kubectl auth asks."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from emulator.api.kinds import NAMESPACE, POD, SERVICE_ACCOUNT
from tests.support.api import Api, api_server, eventually, kubectl_for, kubectl_versions

PATH = "/api/v1/namespaces/default/serviceaccounts/builder/token"


async def exists(api: Api, name: str) -> bool:
    return any(item["metadata"]["name"] == name for item in (await api.client.list(SERVICE_ACCOUNT, "default")).items)


async def post(api: Api, path: str, body: dict[str, Any], *, token: str | None = None) -> tuple[int, dict[str, Any]]:
    opened = api.session() if token is None else api.session(token=token)
    async with opened as session, session.post(api.url + path, json=body) as answer:
        return answer.status, await answer.json()


async def whoami(api: Api, token: str) -> tuple[int, dict[str, Any]]:
    return await post(api, "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, token=token)


def request(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}


def claims(token: str) -> dict[str, Any]:
    text = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return found


async def account(api: Api) -> dict[str, Any]:
    await api.client.create(
        SERVICE_ACCOUNT,
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "builder", "namespace": "default"}},
    )
    return await api.client.get(SERVICE_ACCOUNT, "builder", "default")


async def test_a_token_is_its_accounts_until_the_account_goes() -> None:
    async with api_server() as api:
        held = await account(api)
        status, answer = await post(api, PATH, request())
        assert status == 201
        assert answer["kind"] == "TokenRequest"
        assert answer["spec"]["expirationSeconds"] == 3600
        token = answer["status"]["token"]
        assert claims(token)["sub"] == "system:serviceaccount:default:builder"
        status, review = await whoami(api, token)
        assert status == 201
        assert review["status"]["userInfo"] == {
            "username": "system:serviceaccount:default:builder",
            "uid": held["metadata"]["uid"],
            "groups": ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"],
        }
        await api.client.delete(SERVICE_ACCOUNT, "builder", "default")
        assert (await whoami(api, token))[0] == 401


async def test_a_token_bound_to_a_pod_goes_with_it() -> None:
    async with api_server() as api:
        await account(api)
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "p", "namespace": "default"},
            "spec": {"serviceAccountName": "builder", "containers": [{"name": "c", "image": "i"}]},
        }
        created = await api.client.create(POD, pod)
        reference = {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": created["metadata"]["uid"]}
        _, answer = await post(api, PATH, request(boundObjectRef=reference))
        token = answer["status"]["token"]
        _, review = await whoami(api, token)
        assert review["status"]["userInfo"]["extra"]["authentication.kubernetes.io/pod-name"] == ["p"]
        await api.client.delete(POD, "p", "default", grace_period_seconds=0)
        assert (await whoami(api, token))[0] == 401


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"expirationSeconds": 5}, "may not specify a duration less than 10 minutes"),
        ({"expirationSeconds": 1 << 33}, "may not specify a duration larger than 2^32 seconds"),
    ],
)
async def test_a_token_of_no_sensible_life(spec: dict[str, Any], said: str) -> None:
    async with api_server() as api:
        await account(api)
        status, answer = await post(api, PATH, request(**spec))
        assert status == 422
        assert said in answer["message"]


async def test_what_is_no_token_of_this_cluster() -> None:
    async with api_server() as api, api_server() as other:
        for server in (api, other):
            await account(server)
        _, answer = await post(other, PATH, request())
        foreign = answer["status"]["token"]
        head, body, signature = foreign.split(".")
        for text in (foreign, f"{head}.{body}.", f"{head}.{body}", "....", "a.b.c", f"{head}.{signature}.{body}"):
            assert (await whoami(api, text))[0] == 401, text
        status, review = await post(api, "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": foreign}})
        assert (status, review["status"]) == (201, {"user": {}, "error": "invalid bearer token"})
        status, answer = await post(api, PATH.replace("builder", "nobody"), request())
        assert (status, answer["message"]) == (404, 'serviceaccounts "nobody" not found')


async def test_questions_about_access() -> None:
    async with api_server() as api:
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        status, answer = await post(api, path, {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}})
        assert (status, answer["status"]["allowed"]) == (201, True)
        status, answer = await post(api, path, {"spec": {}})
        assert (status, answer["reason"]) == (422, "Invalid")
        async with api.session() as session, session.get(api.url + path) as refused:
            assert refused.status == 405


@pytest.mark.parametrize("path", kubectl_versions().values(), ids=kubectl_versions())
async def test_kubectl_auth(path: str) -> None:
    async with api_server() as api:
        await eventually(lambda: exists(api, "default"))
        with kubectl_for(api, path) as kubectl:
            assert await kubectl.ok("auth", "can-i", "create", "deployments") == "yes\n"
            assert "kubernetes-admin" in await kubectl.ok("auth", "whoami")
            assert "*.*" in await kubectl.ok("auth", "can-i", "--list")
            token = (await kubectl.ok("create", "token", "default", "--duration=10m")).strip()
            assert (await whoami(api, token))[0] == 201
            await api.client.get(NAMESPACE, "default")
