"""The API's description, and the page that shows it."""

import json
import re

import jsonschema_rs
import pytest
import schemathesis

COMPAT = ("compat_rag", "compat_chatbot")
METHODS = ("get", "post", "put", "patch", "delete")
PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


@pytest.fixture(scope="module")
def described(app):
    return app.test_client().get("/openapi.json").json


@pytest.fixture(scope="module")
def operations(described):
    """Each operation by method and path, with its path's parameters among its own."""
    return {
        f"{method.upper()} {path}": item[method]
        | {"parameters": item.get("parameters", []) + item[method].get("parameters", [])}
        for path, item in described["paths"].items()
        for method in METHODS
        if method in item
    }


def content(described, response):
    """The media types of a response, which may be a reference to one."""
    name = response.get("$ref", "").rpartition("/")[2]
    return described["components"]["responses"][name]["content"] if name else response["content"]


def test_it_is_valid_openapi(described):
    assert described["openapi"] == "3.1.0"
    schemathesis.openapi.from_dict(described).validate()


def test_it_names_every_route_and_no_other(app, operations):
    routes = {
        f"{method} " + re.sub(r"<(?:[^<>]*:)?(\w+)>", r"{\1}", rule.rule)
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if not rule.endpoint.startswith("parley_fallback.")
    }
    assert operations.keys() == routes


def test_every_operation_can_be_called_by_name_and_found_under_one_tag(described, operations):
    names = [operation["operationId"] for operation in operations.values()]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() for name in names)
    tags = [tag["name"] for tag in described["tags"]]
    assert tags == [
        "conversations",
        "messages",
        "changes",
        "chat",
        "search",
        "stats",
        "health",
        "docs",
        "metrics",
        *COMPAT,
    ]
    for operation in operations.values():
        assert len(operation["tags"]) == 1
        assert operation["tags"][0] in tags
        assert operation["summary"]


def test_what_is_open_to_all_says_so_and_the_rest_needs_a_token(described, operations):
    assert described["security"] == [{"bearer": []}]
    for name, operation in operations.items():
        is_public = operation["tags"][0] in {"health", "docs", "metrics"}
        assert operation.get("security") == ([] if is_public else None), name
        assert ("401" in operation["responses"]) == (not is_public), name


def test_the_problems_that_follow_from_an_operations_form_are_told(operations):
    for name, operation in operations.items():
        expected = {"401", "503"} if operation.get("security") is None else set()
        expected |= {"404"} if "{" in name else set()
        expected |= {"400", "413", "415", "422"} if "requestBody" in operation else set()
        assert expected <= operation["responses"].keys(), name
    assert {"404", "409", "429", "502", "504"} <= operations["POST /chat"]["responses"].keys()
    appends = operations["POST /conversations/{conversation_id}/messages"]
    assert "409" in appends["responses"]


def test_every_error_is_a_problem(described, operations):
    for name, operation in operations.items():
        for status, response in operation["responses"].items():
            is_servers_own = status == "414"
            if status >= "400" and name != "GET /readyz" and not is_servers_own:
                assert content(described, response) == PROBLEM, (name, status)


def test_problems_look_as_described(client, described):
    schema = {"$ref": "#/components/schemas/Problem", "components": described["components"]}
    problem = client.post("/chat", json={"message": ""})
    assert problem.status_code == 422
    jsonschema_rs.validate(schema, problem.json)


def test_every_component_is_used(described):
    text = json.dumps(described)
    for kind in ("schemas", "responses"):
        for name in described["components"][kind]:
            assert f'"#/components/{kind}/{name}"' in text, name


def test_every_parameter_of_a_path_is_explained(operations):
    for name, operation in operations.items():
        explained = {
            parameter["name"]
            for parameter in operation["parameters"]
            if parameter["in"] == "path" and parameter["description"]
        }
        assert explained == set(re.findall(r"{(\w+)}", name)), name


@pytest.mark.parametrize("name", ["POST /chat", "POST /conversations"])
def test_an_example_of_a_request_is_valid_and_works(client, described, operations, name):
    body = operations[name]["requestBody"]["content"]["application/json"]
    schema = body["schema"] | {"components": described["components"]}
    jsonschema_rs.validate(schema, body["example"])
    assert client.post(name.split()[1], json=body["example"]).status_code in (200, 201)


def test_the_answer_to_a_question_has_three_forms_each_with_its_name(operations):
    chat = operations["POST /chat"]
    forms = chat["responses"]["200"]["content"]
    assert forms.keys() == {"application/json", "text/plain", "text/event-stream"}
    (wire,) = (each for each in chat["parameters"] if each["name"] == "wire")
    assert wire["schema"]["enum"] == ["text", "sse", "json", "ui"]


def test_the_description_names_the_server_it_came_from(described):
    assert described["servers"] == [{"url": "/"}]


def test_the_page_and_all_it_loads_come_from_here(app):
    http = app.test_client()
    page = http.get("/docs")
    assert (page.status_code, page.mimetype) == (200, "text/html")
    assert "//" not in page.text
    assets = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(assets) == 4
    for asset in assets:
        with http.get(f"/{asset}") as loaded:
            assert (loaded.status_code, len(loaded.data) > 50) == (200, True), asset
            assert loaded.headers["X-Content-Type-Options"] == "nosniff"
    with http.get("/docs/start.js") as start:
        assert 'url: "openapi.json"' in start.text


def test_the_page_may_load_nothing_from_elsewhere(app):
    policy = app.test_client().get("/docs").headers["Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["connect-src"] == "'self'"
    assert "http" not in policy
