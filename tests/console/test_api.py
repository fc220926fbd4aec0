import json

import click
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import ignored_auth

from enforcer.cli.attempts import list_, stats
from enforcer.cli.devices import sessions, silent
from enforcer.cli.export import export as export_
from enforcer.cli.incidents import list_ as incidents_list
from enforcer.config.pages import Role
from enforcer.console.api import PREFIX, description, problem
from enforcer.console.users import User, hash_token, write_user
from tests.console.conftest import Open
from tests.console.lab import HOST, Lab


def options_of(command: click.Command) -> set[str]:
    """What a command can be told, in the words of the record."""
    renamed = {"client": "client_ip", "states": "state", "form": "format"}
    names = {str(each.name) for each in command.params} - {"config", "as_json"}
    return {renamed.get(name, name) for name in names}


def parameters() -> dict[tuple[str, str], set[str]]:
    """The names of the parameters of each operation."""
    whole = json.loads(json.dumps(description()))
    return {
        (path, method): {
            each["name"]
            if "name" in each
            else whole["components"]["parameters"][each["$ref"].rpartition("/")[2]]["name"]
            for each in said.get("parameters", ())
        }
        for path, methods in whole["paths"].items()
        for method, said in methods.items()
    }


def test_every_option_of_the_commands_narrows_here_too() -> None:
    """`--client` is `client_ip` here, as in the record; `--state` may be written several times there."""
    from_commands = {
        ("/attempts", "get"): {*options_of(list_), "older", "newer"},
        ("/attempts/export", "get"): {*options_of(export_), "format"} - {"reason"},
        ("/stats", "get"): options_of(stats),
        ("/incidents", "get"): options_of(incidents_list),
        ("/sessions", "get"): options_of(sessions),
        ("/silent", "get"): options_of(silent),
    }
    described = parameters()
    for operation, options in from_commands.items():
        assert options <= described[operation], operation


def test_marks_are_taken_as_json_from_our_own_pages_alone(lab: Lab) -> None:
    path, client = "/api/v1/incidents/device/dev-1/chat/marks", lab.client()
    assert client.post(path, data={"state": "open"}).status_code == 415
    assert client.post(path, json={"state": "open"}, headers={"sec-fetch-site": "cross-site"}).status_code == 403
    for body in (b"{", b"[]", b'{"state": 1}', b"[" * 50_000):
        answer = client.post(path, content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 400
    assert client.post(path, json={"state": "done", "note": "x"}).status_code == 400
    assert (
        client.post("/api/v1/incidents/device/dev-9/chat/marks", json={"state": "open", "note": "x"}).status_code == 404
    )
    assert lab.events("mark") == []


def test_exports_need_the_right_and_are_recorded(opened: Open) -> None:
    assert opened(open_roles=["viewer"]).client().get("/api/v1/attempts/export").status_code == 403
    lab = opened()
    assert lab.client().get("/api/v1/attempts/export?format=json&since=2026-11-01").text.count("\n") == 4
    assert lab.events("access")[0]["look"] == "export"


def test_every_address_is_described_and_no_other(lab: Lab) -> None:
    routes = {
        (route.path.removeprefix(PREFIX), method.lower())  # type: ignore[attr-defined]
        for route in lab.app.routes
        for method in getattr(route, "methods", None) or ()
        if getattr(route, "path", "").startswith(f"{PREFIX}/") and method != "HEAD"
    }
    paths = description()["paths"]
    assert isinstance(paths, dict)
    described = {(path, method) for path, methods in paths.items() for method in methods}
    assert routes - {("/openapi.json", "get")} == described
    assert lab.client().get("/api/v1/openapi.json").json() == json.loads(json.dumps(description()))


def test_every_operation_is_summed_up_in_both_languages() -> None:
    paths = description()["paths"]
    assert isinstance(paths, dict)
    for methods in paths.values():
        for operation in methods.values():
            assert operation["summary"]
            assert operation["x-summary-fr"]


@pytest.mark.parametrize(("status", "header"), [(401, True), (403, False)])
def test_problems_say_what_is_missing(status: int, header: bool) -> None:
    assert ("www-authenticate" in problem(status, "x").headers) is header


def test_the_api_keeps_what_its_description_promises(opened: Open) -> None:
    """Requests made from the description, valid and not: answers have the status, type and form that it names."""
    lab = opened(auth="local")
    write_user(lab.site.access.users.path, User("test", frozenset(Role), hash_token("t0ken")))
    headers = {"authorization": "Bearer t0ken", "host": HOST}
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", lab.app, headers=headers)
    tried = 0
    for found in schema.get_all_operations():
        operation = found.ok()  # type: ignore[union-attr]  # what is no operation has no such method, and fails here

        @settings(
            max_examples=12, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
        )
        @given(case=operation.as_strategy())
        def check(case: schemathesis.Case) -> None:  # type: ignore[type-arg]  # of whichever operation
            case.call_and_validate(headers=headers, excluded_checks=[ignored_auth])  # it sends our header again

        check()
        tried += 1
    assert tried == 18
