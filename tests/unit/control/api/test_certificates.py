"""Routes for certificates."""

import random
from dataclasses import replace

import pytest

from pipeops.control.api.app import create_app
from pipeops.control.auth.cluster_credentials import Sealer
from pipeops.control.certificate_settings import AcmeSettings, CertificateSettings
from pipeops.control.certificates.service import PURPOSE, Certificates
from pipeops.runtime.clock import Clock
from tests.support.certificates import Authority

PATH = "/api/v1/certificates"


@pytest.fixture
def certificates(store):
    acme = AcmeSettings(directory="https://ca.example/dir", hosts=("acme.example.com",))
    return Certificates(
        CertificateSettings(acme=acme), store.certificates, Sealer(bytes(32), PURPOSE),
        clock=Clock(), rng=random.Random(1),
    )  # fmt: skip


@pytest.fixture
def app(services, certificates):
    return create_app(replace(services, certificates=certificates))


@pytest.fixture
def body(tmp_path):
    pair = Authority(tmp_path / "ca").server("a", "a.example.com", "*.a.example.com")
    return {"certificate": pair.certificate.read_text(), "key": pair.key.read_text()}


async def test_an_administrator_uploads_lists_and_removes(admin, body, certificates):
    await certificates.orders.look()
    made = await admin.put(f"{PATH}/a.example.com", json=body)
    assert made.status_code == 200
    shown = made.json()
    assert (shown["host"], shown["source"], shown["added_by"]) == (
        "a.example.com",
        "upload",
        "root",
    )
    assert shown["names"] == ["a.example.com", "*.a.example.com"]
    assert (await admin.put(f"{PATH}/%2A.a.example.com", json=body)).status_code == 200
    listed = (await admin.get(PATH)).json()
    assert [one["host"] for one in listed["items"]] == ["*.a.example.com", "a.example.com"]
    assert [(one["host"], one["state"]) for one in listed["orders"]] == [
        ("acme.example.com", "waiting")
    ]
    assert listed["problems"] == []
    removed = await admin.delete(f"{PATH}/a.example.com")
    assert removed.json() == {"host": "a.example.com", "source": "upload"}
    assert (await admin.delete(f"{PATH}/a.example.com")).status_code == 404


async def test_no_answer_holds_a_key(admin, body):
    answers = [
        await admin.put(f"{PATH}/a.example.com", json=body),
        await admin.get(PATH),
        await admin.put(f"{PATH}/b.example.com", json=body),
        await admin.put(f"{PATH}/a.example.com", json={**body, "extra": body["key"]}),
        await admin.put(
            f"{PATH}/a.example.com", json={"certificate": body["key"], "key": "x" * 30_000}
        ),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 400, 400, 400]
    for answer in answers:
        assert "PRIVATE" not in answer.text


async def test_what_is_wrong_is_said(admin, body):
    answer = await admin.put(f"{PATH}/b.example.com", json=body)
    assert answer.json()["error"].startswith(
        "certificate for b.example.com: it is for a.example.com"
    )
    answer = await admin.put(f"{PATH}/a.example.com", json={**body, "key": "no key"})
    assert "no usable PEM private key" in answer.json()["error"]
    for answer in (
        await admin.put(f"{PATH}/10.0.0.1", json=body),
        await admin.delete(f"{PATH}/10.0.0.1"),
        await admin.post(f"{PATH}/10.0.0.1/renew"),
    ):
        assert answer.status_code == 400
        assert "expected a host name" in answer.json()["error"]


async def test_renewal_is_for_wanted_hosts(admin):
    assert (await admin.post(f"{PATH}/acme.example.com/renew")).status_code == 204
    assert (await admin.post(f"{PATH}/other.example.com/renew")).status_code == 404


async def test_users_see_and_change_nothing(user, anonymous, body):
    for client, status in ((user, 403), (anonymous, 401)):
        for answer in (
            await client.get(PATH),
            await client.put(f"{PATH}/a.example.com", json=body),
            await client.delete(f"{PATH}/a.example.com"),
            await client.post(f"{PATH}/acme.example.com/renew"),
        ):
            assert answer.status_code == status


async def test_problems_name_what_they_concern(admin, certificates):
    certificates.orders.problem = "it cannot be reached"
    listed = (await admin.get(PATH)).json()
    assert listed["problems"] == [{"concerns": "acme", "problem": "it cannot be reached"}]


class TestWithoutAPublicGateway:
    @pytest.fixture
    def app(self, services):
        return create_app(services)

    async def test_there_are_no_certificates(self, admin):
        assert (await admin.get(PATH)).status_code == 404
