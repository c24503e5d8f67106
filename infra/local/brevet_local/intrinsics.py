"""Resolves CloudFormation's intrinsic functions to plain values.

An unknown intrinsic or attribute is an error that names it: an invented value would test nothing.
"""

from __future__ import annotations

import re
from typing import Any

_NO_VALUE = object()


class Unresolvable(ValueError):
    """The template uses something that has no local counterpart."""


class Resolver:
    """Resolves values against one set of parameters and the transformed template's resources."""

    def __init__(self, template: dict[str, Any], parameters: dict[str, Any], account: str, region: str, partition: str):
        self.resources: dict[str, Any] = template["Resources"]
        self.conditions: dict[str, Any] = template.get("Conditions", {})
        self.account, self.region, self.partition = account, region, partition
        self.values: dict[str, Any] = {
            "AWS::AccountId": account,
            "AWS::Region": region,
            "AWS::Partition": partition,
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::StackName": f"brevet-{parameters['DeploymentId']}",
            "AWS::NoValue": _NO_VALUE,
            **parameters,
        }

    def properties(self, logical: str) -> dict[str, Any]:
        """All properties of a resource, resolved."""
        return self.value(self.resources[logical].get("Properties", {}))

    def value(self, node: Any) -> Any:
        """`node` with every intrinsic replaced; members that resolve to `AWS::NoValue` are dropped."""
        if isinstance(node, list):
            return [member for member in map(self.value, node) if member is not _NO_VALUE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((name, argument),) = node.items()
            if name == "Ref":
                return self._ref(argument)
            if name == "Condition" and isinstance(argument, str) and argument in self.conditions:
                return self._condition(argument)
            if name.startswith("Fn::"):
                return self._function(name, argument)
        resolved = {key: self.value(member) for key, member in node.items()}
        return {key: member for key, member in resolved.items() if member is not _NO_VALUE}

    def _function(self, name: str, argument: Any) -> Any:
        match name:
            case "Fn::GetAtt":
                logical, attribute = argument if isinstance(argument, list) else argument.split(".", 1)
                return self._attribute(logical, attribute)
            case "Fn::Sub":
                return self._sub(argument)
            case "Fn::Join":
                separator, parts = argument
                return separator.join(str(part) for part in self.value(parts))
            case "Fn::Split":
                separator, text = argument
                return str(self.value(text)).split(separator)
            case "Fn::If":
                condition, yes, no = argument
                return self.value(yes if self._condition(condition) else no)
            case "Fn::Equals":
                left, right = self.value(argument)
                return str(left) == str(right)
            case "Fn::Not":
                return not self.value(argument)[0]
            case "Fn::And":
                return all(self.value(argument))
            case "Fn::Or":
                return any(self.value(argument))
            case _:
                raise Unresolvable(f"`{name}` is not supported by the local stack")

    def _condition(self, name: str) -> bool:
        if name not in self.conditions:
            raise Unresolvable(f"unknown condition `{name}`")
        return bool(self.value(self.conditions[name]))

    def _sub(self, argument: Any) -> str:
        text, own = (argument, {}) if isinstance(argument, str) else argument
        given = {name: self.value(member) for name, member in own.items()}

        def replacement(found: re.Match[str]) -> str:
            name = found.group(1)
            if name.startswith("!"):
                return "${" + name[1:] + "}"
            if name in given:
                return str(given[name])
            return str(self._attribute(*name.split(".", 1)) if "." in name else self._ref(name))

        return re.sub(r"\$\{([^}]+)\}", replacement, text)

    def _ref(self, name: str) -> Any:
        if name in self.values:
            return self.values[name]
        if name not in self.resources:
            raise Unresolvable(f"`Ref` to `{name}`, which is neither a parameter nor a resource")
        kind = self.resources[name]["Type"]
        physical = {
            "AWS::IAM::Role": "RoleName",
            "AWS::DynamoDB::Table": "TableName",
            "AWS::Lambda::Function": "FunctionName",
            "AWS::Logs::LogGroup": "LogGroupName",
            "AWS::Scheduler::Schedule": "Name",
        }
        if kind in physical:
            return self._named(name, physical[kind])
        if kind == "AWS::IAM::ManagedPolicy":
            return self.policy_arn(name)
        if kind == "AWS::ApiGatewayV2::Api":
            return "local"
        raise Unresolvable(f"`Ref` to `{name}`: {kind} has no local identity")

    def _attribute(self, logical: str, attribute: str) -> str:
        if logical not in self.resources:
            raise Unresolvable(f"`Fn::GetAtt` of `{logical}`, which is not a resource")
        kind = self.resources[logical]["Type"]
        match kind, attribute:
            case "AWS::IAM::Role", "Arn":
                return self.role_arn(logical)
            case "AWS::Lambda::Function", "Arn":
                return self._arn("lambda", f"function:{self._named(logical, 'FunctionName')}")
            case "AWS::DynamoDB::Table", "Arn":
                return self._arn("dynamodb", f"table/{self._named(logical, 'TableName')}")
            # The stream's label is known only once the table exists.
            case "AWS::DynamoDB::Table", "StreamArn":
                return self._arn("dynamodb", f"table/{self._named(logical, 'TableName')}/stream/*")
            case "AWS::SQS::Queue", "Arn":
                return self._arn("sqs", self._named(logical, "QueueName"))
            case "AWS::SQS::Queue", "QueueName":
                return self._named(logical, "QueueName")
            case "AWS::Logs::LogGroup", "Arn":
                return self._arn("logs", f"log-group:{self._named(logical, 'LogGroupName')}:*")
            case _:
                raise Unresolvable(f"`{logical}.{attribute}`: {kind} has no such local attribute")

    def role_arn(self, logical: str) -> str:
        """The ARN of a role, with its path."""
        path = self.value(self.resources[logical]["Properties"].get("Path", "/"))
        return f"arn:{self.partition}:iam::{self.account}:role{path}{self._named(logical, 'RoleName')}"

    def policy_arn(self, logical: str) -> str:
        """The ARN of a managed policy, with its path."""
        path = self.value(self.resources[logical]["Properties"].get("Path", "/"))
        return f"arn:{self.partition}:iam::{self.account}:policy{path}{self._named(logical, 'ManagedPolicyName')}"

    def _arn(self, service: str, resource: str) -> str:
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    def _named(self, logical: str, key: str) -> str:
        properties = self.resources[logical].get("Properties", {})
        if key not in properties:
            raise Unresolvable(f"`{logical}` has no `{key}`: the local stack needs an explicit name")
        return str(self.value(properties[key]))
