"""Requests that reach moto, as IAM sees them, and the policies of deployed roles.

Each process that plays a role has an access key of the role's name, which the signature of its
requests shows. `Recorder` notes the requests; `role_statements` reads the policies from moto, where
CloudFormation has rendered them; `decide` compares the two.
"""

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from unittest import mock
from urllib.parse import parse_qs, unquote

import boto3

_CREDENTIAL = re.compile(r"Credential=([^/]+)/\d+/([^/]*)/([^/]+)/aws4_request")
_ACCOUNT = "123456789012"
ADMIN = "testing"
"""Access key of the tests themselves, which stands for no role."""


@dataclass(frozen=True)
class Request:
    """A request: whose it is, its action and resource, and the values of conditions."""

    principal: str
    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass
class Recorder:
    """Notes the requests of a `MotoServer` while it is entered."""

    requests: list[Request] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication

        answer, recorder = DomainDispatcherApplication.__call__, self

        def call(self: Any, environ: dict[str, Any], start_response: Any) -> Any:
            recorder._note(environ)
            return answer(self, environ, start_response)

        self._patch = mock.patch.object(DomainDispatcherApplication, "__call__", call)
        self._patch.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._patch.stop()

    def of(self, principal: str) -> set[Request]:
        """Return the different requests of a role."""
        return {request for request in self.requests if request.principal == principal}

    def _note(self, environ: dict[str, Any]) -> None:
        found = _CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
        if found is None:
            return
        principal, region, service = found.groups()
        requests = list(_requests(environ, service, region))
        for action, resource, context in requests:
            self.requests.append(Request(principal, action, resource, context))
        if not requests and principal != ADMIN:
            self.unknown.append(f"{service} {environ['REQUEST_METHOD']} {environ['PATH_INFO']}")


def _requests(
    environ: dict[str, Any], service: str, region: str
) -> Iterator[tuple[str, str, dict[str, str]]]:
    if service == "s3":
        yield from _of_s3(environ)
    elif service == "batch":
        yield from _of_batch(environ, region)
    elif service == "lambda" and environ["PATH_INFO"].endswith("/invocations"):
        name = environ["PATH_INFO"].split("/")[3]
        arn = f"arn:aws:lambda:{region}:{_ACCOUNT}:function:{name}"
        yield "lambda:InvokeFunction", arn, {}
    elif service == "dynamodb":
        action = environ["HTTP_X_AMZ_TARGET"].rpartition(".")[2]
        body = json.loads(_body(environ))
        for table in [body["TableName"]] if "TableName" in body else body["RequestItems"]:
            arn = f"arn:aws:dynamodb:{region}:{_ACCOUNT}:table/{table}"
            yield f"dynamodb:{action}", arn, {}


def _of_s3(environ: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, str]]]:
    method = environ["REQUEST_METHOD"]
    query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    bucket, _, key = unquote(environ["PATH_INFO"]).lstrip("/").partition("/")
    arn = f"arn:aws:s3:::{bucket}"
    if not key:
        if method == "POST" and "delete" in query:
            for name in re.findall(r"<Key>(.*?)</Key>", _body(environ).decode()):
                yield "s3:DeleteObject", f"{arn}/{name}", {}
        elif method in {"GET", "HEAD"}:
            # HEAD of a bucket needs the permission to list it, with no prefix.
            yield (
                "s3:ListBucket",
                arn,
                {"s3:prefix": query["prefix"][0]} if "prefix" in query else {},
            )
        return
    actions = {"GET": "GetObject", "HEAD": "GetObject", "PUT": "PutObject", "POST": "PutObject"}
    action = actions.get(method, "DeleteObject")
    if method == "DELETE" and "uploadId" in query:
        action = "AbortMultipartUpload"
    if "versionId" in query:
        action = f"{action}Version"
    yield f"s3:{action}", f"{arn}/{key}", {}


def _of_batch(environ: dict[str, Any], region: str) -> Iterator[tuple[str, str, dict[str, str]]]:
    operation = environ["PATH_INFO"].rpartition("/")[2]
    body = json.loads(_body(environ) or b"{}")
    root = f"arn:aws:batch:{region}:{_ACCOUNT}"
    if operation == "submitjob":
        yield "batch:SubmitJob", f"{root}:job-queue/{body['jobQueue']}", {}
        yield "batch:SubmitJob", f"{root}:job-definition/{body['jobDefinition']}", {}
        tags = {f"aws:RequestTag/{name}": value for name, value in body.get("tags", {}).items()}
        if tags:
            yield "batch:TagResource", f"{root}:job/new", tags
    elif operation == "terminatejob":
        (job,) = boto3.client("batch").describe_jobs(jobs=[body["jobId"]])["jobs"]
        tags = {f"aws:ResourceTag/{name}": value for name, value in job.get("tags", {}).items()}
        yield "batch:TerminateJob", f"{root}:job/{body['jobId']}", tags
    else:
        names = {"describejobs": "DescribeJobs", "listjobs": "ListJobs"}
        yield f"batch:{names.get(operation, operation)}", "*", {}


def _body(environ: dict[str, Any]) -> bytes:
    """Return the body of a request, and leave it to be read again."""
    import io

    length = int(environ.get("CONTENT_LENGTH") or 0)
    body: bytes = environ["wsgi.input"].read(length)
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def role_statements(stack: str, role: str) -> list[dict[str, Any]]:
    """Return the statements of the policies of a role of a stack."""
    client = boto3.client("iam")
    name = boto3.client("cloudformation").describe_stack_resource(
        StackName=stack, LogicalResourceId=role
    )["StackResourceDetail"]["PhysicalResourceId"]
    statements: list[dict[str, Any]] = []
    for policy in client.list_role_policies(RoleName=name)["PolicyNames"]:
        document = client.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
        # moto answers with Python's words, not with JSON.
        document = ast.literal_eval(document) if isinstance(document, str) else document
        # moto leaves a null where a condition leaves a statement out.
        statements += filter(None, document["Statement"])
    return statements


@dataclass
class Decision:
    """The requests that no statement allows, and what no request used: (Sid, action, resource)."""

    refused: list[Request]
    unused: set[tuple[str, str, str]]


def decide(
    requests: Sequence[Request] | set[Request], statements: Sequence[dict[str, Any]]
) -> Decision:
    """Compare the requests of a role with its statements, all of which allow."""
    parts = [
        (statement["Sid"], action, resource, statement.get("Condition") or {})
        for statement in statements
        for action in _listed(statement["Action"])
        for resource in _listed(statement["Resource"])
    ]
    unused = {part[:3] for part in parts}
    refused = []
    for request in requests:
        fitting = [part for part in parts if _allows(part, request)]
        unused -= {part[:3] for part in fitting}
        if not fitting:
            refused.append(request)
    return Decision(refused, unused)


def _allows(part: tuple[str, str, str, dict[str, Any]], request: Request) -> bool:
    _, action, resource, condition = part
    if action != request.action or not _fits(resource, request.resource):
        return False
    for operator, keys in condition.items():
        for key, patterns in keys.items():
            value = request.context.get(key)
            exact = operator in {"StringEquals", "ArnEquals"}
            assert exact or operator == "StringLike", operator
            if value is None or not any(
                value == p if exact else _fits(p, value) for p in _listed(patterns)
            ):
                return False
    return True


def _fits(pattern: str, text: str) -> bool:
    """Match as IAM does: a star stands for anything, slashes too, a question mark for one."""
    parts = re.split(r"([*?])", pattern)
    expression = "".join({"*": ".*", "?": "."}.get(part, re.escape(part)) for part in parts)
    return re.fullmatch(expression, text, re.DOTALL) is not None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
