"""The template as plain facts, for the local stack, the demo and the tests.

AWS's own translator transforms `infra/template.yaml` (SAM to CloudFormation); this module resolves the result for local
parameters. No fact is stated a second time.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

from . import places
from .intrinsics import Resolver, Unresolvable

LOCAL_PARAMETERS = {
    "DeploymentId": "dev",
    "ClockSkewSeconds": "2",
    "QuietSeconds": "2",
    "DeletionProtection": "false",
    "RotatedSecretArns": f"arn:{places.PARTITION}:secretsmanager:{places.REGION}:{places.ACCOUNT}:secret:prod/*",
}
"""Local overrides of the template's defaults. `BREVET_PARAM_<Name>` and flags override these."""

_UNITS_S = {"minute": 60, "minutes": 60, "hour": 3600, "hours": 3600, "day": 86400, "days": 86400}


class _NoManagedPolicies:
    """The translator asks AWS for the list of managed policies; the template names none."""

    def load(self) -> dict[str, str]:
        return {}


def parameters(template: dict[str, Any], given: dict[str, str]) -> dict[str, str]:
    """The effective parameters: the template's defaults, then the local ones, then the environment, then `given`.

    Raises `Unresolvable` for an unknown name, or a value that the template's own rules reject.
    """
    declared = template["Parameters"]
    from_environment = {
        name: os.environ[f"BREVET_PARAM_{name}"] for name in declared if f"BREVET_PARAM_{name}" in os.environ
    }
    chosen = {
        **{name: str(rule["Default"]) for name, rule in declared.items() if "Default" in rule},
        **LOCAL_PARAMETERS,
        **from_environment,
        **given,
    }
    for name, value in chosen.items():
        if name not in declared:
            raise Unresolvable(f"unknown parameter `{name}`: the template has {', '.join(declared)}")
        rule = declared[name]
        if "AllowedValues" in rule and value not in map(str, rule["AllowedValues"]):
            raise Unresolvable(f"parameter `{name}`: `{value}` must be one of {rule['AllowedValues']}")
        if "AllowedPattern" in rule:
            # Each member of a list must match.
            members = value.split(",") if rule["Type"] == "CommaDelimitedList" else [value]
            for member in members:
                if not re.fullmatch(rule["AllowedPattern"], member):
                    raise Unresolvable(f"parameter `{name}`: `{member}` must match {rule['AllowedPattern']}")
        if rule["Type"] == "Number" and not (value.isascii() and value.isdigit() and int(value) >= rule.get("MinValue", 0)):
            raise Unresolvable(f"parameter `{name}`: `{value}` must be a whole number of at least {rule.get('MinValue', 0)}")
    return chosen


def facts(path: Path = places.TEMPLATE, given: dict[str, str] | None = None) -> dict[str, Any]:
    """The facts that the local stack needs, as JSON-able data (see the keys at the end)."""
    source = yaml_parse(path.read_text(encoding="utf-8"))
    folders: dict[str, str] = {}
    for logical, resource in source["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Function":
            folders[logical] = resource["Properties"]["CodeUri"]
            # The translator requires uploaded code; nothing is uploaded locally.
            resource["Properties"]["CodeUri"] = "s3://local/code"
    # The translator requires a region, though it makes no call.
    os.environ.setdefault("AWS_DEFAULT_REGION", places.REGION)
    plain = transform(source, {}, _NoManagedPolicies())
    chosen = parameters(plain, given or {})
    values: dict[str, Any] = {
        name: value.split(",") if plain["Parameters"][name]["Type"] == "CommaDelimitedList" else value
        for name, value in chosen.items()
    }
    resolver = Resolver(plain, values, places.ACCOUNT, places.REGION, places.PARTITION)

    def of(kind: str) -> list[str]:
        return [logical for logical, resource in plain["Resources"].items() if resource["Type"] == kind]

    policies = [_policy(resolver, logical) for logical in of("AWS::IAM::ManagedPolicy")]
    roles = [_role(resolver, logical) for logical in of("AWS::IAM::Role")]
    functions = {
        logical: _function(resolver, logical, folders[logical], plain["Resources"][logical]["Metadata"])
        for logical in of("AWS::Lambda::Function")
    }
    by_arn = {function["arn"]: function["id"] for function in functions.values()}
    by_name = {function["name"]: function["id"] for function in functions.values()}
    (api,) = of("AWS::ApiGatewayV2::Api")
    (stage,) = of("AWS::ApiGatewayV2::Stage")
    settings = resolver.properties(stage)["DefaultRouteSettings"]
    return {
        "parameters": chosen,
        "deployment": chosen["DeploymentId"],
        "account": places.ACCOUNT,
        "region": places.REGION,
        "partition": places.PARTITION,
        "table": _table(resolver, "Table"),
        "other_tables": [_other_table(resolver, one) for one in of("AWS::DynamoDB::Table") if one != "Table"],
        "policies": policies,
        "roles": roles,
        "attachment": _attachment(chosen["DeploymentId"], roles, policies),
        "functions": list(functions.values()),
        "routes": _routes(resolver.properties(api)["Body"], by_arn),
        "throttle": {
            "rate_per_s": float(settings["ThrottlingRateLimit"]),
            "burst": int(settings["ThrottlingBurstLimit"]),
        },
        "schedules": [_schedule(resolver, logical, by_arn) for logical in of("AWS::Scheduler::Schedule")],
        "streams": [
            _stream(resolver.properties(logical), by_name, resolver.properties("Table")["TableName"])
            for logical in of("AWS::Lambda::EventSourceMapping")
        ],
    }


def _table(resolver: Resolver, logical: str) -> dict[str, Any]:
    """The main table as input of `CreateTable`, and its TTL attribute.

    Backups and encryption have no local counterpart.
    """
    properties = resolver.properties(logical)
    create = {
        key: properties[key]
        for key in ("TableName", "BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
    }
    create["StreamSpecification"] = {"StreamEnabled": True, **properties["StreamSpecification"]}
    return {
        "name": properties["TableName"],
        "create": create,
        "ttl_attribute": properties["TimeToLiveSpecification"]["AttributeName"],
    }


def _other_table(resolver: Resolver, logical: str) -> dict[str, Any]:
    """A table other than the main one, as input of `CreateTable`."""
    properties = resolver.properties(logical)
    create = {key: properties[key] for key in ("TableName", "BillingMode", "AttributeDefinitions", "KeySchema")}
    if "StreamSpecification" in properties:
        create["StreamSpecification"] = {"StreamEnabled": True, **properties["StreamSpecification"]}
    return create


def _policy(resolver: Resolver, logical: str) -> dict[str, Any]:
    properties = resolver.properties(logical)
    return {
        "logical": logical,
        "name": properties["ManagedPolicyName"],
        "path": properties["Path"],
        "arn": resolver.policy_arn(logical),
        "document": properties["PolicyDocument"],
    }


def _role(resolver: Resolver, logical: str) -> dict[str, Any]:
    properties = resolver.properties(logical)
    return {
        "logical": logical,
        "name": properties["RoleName"],
        "path": properties["Path"],
        "arn": resolver.role_arn(logical),
        "max_session_s": int(properties.get("MaxSessionDuration", 3600)),
        "trust": properties["AssumeRolePolicyDocument"],
        "inline": {policy["PolicyName"]: policy["PolicyDocument"] for policy in properties.get("Policies", [])},
        "managed": properties.get("ManagedPolicyArns", []),
        "boundary": properties.get("PermissionsBoundary"),
    }


def _attachment(deployment: str, roles: list[dict[str, Any]], policies: list[dict[str, Any]]) -> dict[str, Any]:
    """The permissions boundary, and by short name the attachment principals and the policies that may be attached."""
    root, prefix = f"/brevet/{deployment}/", f"brevet-{deployment}-"

    def under(folder: str, known: list[dict[str, Any]]) -> dict[str, str]:
        return {one["name"].removeprefix(prefix): one["arn"] for one in known if one["path"] == root + folder}

    return {
        "boundary_arn": under("", policies)["boundary"],
        "principals": under("attachment/", roles),
        "managed_policies": under("managed/", policies),
    }


def _function(resolver: Resolver, logical: str, folder: str, metadata: dict[str, Any]) -> dict[str, Any]:
    properties = resolver.properties(logical)
    binary = metadata["BuildProperties"]["Binary"]
    return {
        "id": binary,
        "logical": logical,
        "name": properties["FunctionName"],
        "arn": resolver.value({"Fn::GetAtt": [logical, "Arn"]}),
        "role_arn": properties["Role"],
        "binary": binary,
        "folder": folder.removeprefix("../"),
        "memory_mb": int(properties["MemorySize"]),
        "timeout_s": int(properties["Timeout"]),
        "reserved": properties.get("ReservedConcurrentExecutions"),
        "environment": {name: str(value) for name, value in properties["Environment"]["Variables"].items()},
    }


def _routes(body: dict[str, Any], by_arn: dict[str, str]) -> list[dict[str, str]]:
    """The routes of the OpenAPI document that the translator generated from the functions' events."""
    routes = []
    for path, methods in body["paths"].items():
        for method, operation in methods.items():
            uri = operation["x-amazon-apigateway-integration"]["uri"]
            arn = uri.split("/functions/", 1)[1].removesuffix("/invocations")
            if operation["x-amazon-apigateway-integration"]["payloadFormatVersion"] != "2.0":
                raise Unresolvable(f"{method} {path}: only payload format 2.0 has a local counterpart")
            routes.append({"method": method.upper(), "path": path, "function": by_arn[arn]})
    return sorted(routes, key=lambda route: (route["path"], route["method"]))


def _schedule(resolver: Resolver, logical: str, by_arn: dict[str, str]) -> dict[str, Any]:
    properties = resolver.properties(logical)
    expression = properties["ScheduleExpression"]
    rate = re.fullmatch(r"rate\((\d+) (\w+)\)", expression)
    if rate is None or rate.group(2) not in _UNITS_S:
        raise Unresolvable(f"schedule `{expression}`: only rate() has a local counterpart")
    name = properties["Name"]
    return {
        "name": name,
        "arn": f"arn:{places.PARTITION}:scheduler:{places.REGION}:{places.ACCOUNT}:schedule/default/{name}",
        "expression": expression,
        "period_s": int(rate.group(1)) * _UNITS_S[rate.group(2)],
        "function": by_arn[properties["Target"]["Arn"]],
    }


def _stream(properties: dict[str, Any], by_name: dict[str, str], main_table: str) -> dict[str, Any]:
    table = properties["EventSourceArn"].split(":table/", 1)[1].split("/", 1)[0]
    return {
        # The switch that turns it off: `pump` for the main table's stream, `standby` for the reaper's standby ticks.
        "switch": "pump" if table == main_table else "standby",
        "function": by_name[properties["FunctionName"]],
        "table": table,
        "window_s": int(properties["MaximumBatchingWindowInSeconds"]),
        "starting_position": properties["StartingPosition"],
        "batch_size": int(properties["BatchSize"]),
        "max_retries": int(properties["MaximumRetryAttempts"]),
        "bisect": bool(properties["BisectBatchOnFunctionError"]),
        "filters": [json.loads(one["Pattern"]) for one in properties["FilterCriteria"]["Filters"]],
    }
