"""After all other tests: no granted right is unused, and every denial of the design was tried and denied."""

from __future__ import annotations

import fnmatch

import pytest
from enforcement import DEPLOYMENT, OTHER, granted
from table import EXCUSED, unused

# The design's denials: function, action, resource, leading key or attached policy. Each must have been tried and always
# denied.
DENIED_BY_DESIGN = [
    ("intake", "dynamodb:PutItem", "*", "DECISION#*"),
    ("intake", "dynamodb:PutItem", "*", "GRANT#*"),
    ("intake", "dynamodb:PutItem", "*", "ACT#*"),
    ("intake", "dynamodb:PutItem", "*", "BUNDLE#*"),
    ("intake", "dynamodb:PutItem", "*", "DELEGATION#*"),
    ("intake", "dynamodb:GetItem", "*", "DELEGATION#*"),
    ("intake", "dynamodb:PutItem", "*", "REVIEW#*"),
    ("intake", "dynamodb:DeleteItem", "*", "REVIEW#*"),
    *(
        (function, f"dynamodb:{call}Item", "*", f"BLOCK#{kind}*")
        for function in ("intake", "issue", "reap")
        for call in ("Put", "Delete")
        for kind in ("identity/", "sponsor/", "class/", "entitlement/", "account/", "all")
    ),
    *((function, "dynamodb:PutItem", "*", "REVOCATION#*") for function in ("intake", "issue", "reap")),
    *((function, "dynamodb:*", "*.standby", "*") for function in ("intake", "evaluate", "issue", "drill")),
    ("reap", "dynamodb:PutItem", "*.standby", "STANDBY#another"),
    *((function, "dynamodb:PutItem", "*", "PROGRESS#*") for function in ("intake", "evaluate", "issue")),
    ("evaluate", "dynamodb:DeleteItem", "*", "BLOCK#grant/*"),
    ("evaluate", "dynamodb:DeleteItem", "*", "REVOCATION#*"),
    ("intake", "iam:*", "*", ""),
    ("intake", "sts:*", "*", ""),
    ("evaluate", "iam:*", "*", ""),
    ("evaluate", "sts:*", "*", ""),
    ("evaluate", "lambda:InvokeFunction", "*", ""),
    ("evaluate", "dynamodb:PutItem", "*", "ACT#*"),
    ("evaluate", "dynamodb:PutItem", "*", "REQUEST#*"),
    ("evaluate", "dynamodb:DeleteItem", "*", "GRANT#*"),
    ("evaluate", "dynamodb:DeleteItem", "*", "DECISION#*"),
    ("issue", "dynamodb:PutItem", "*", "DECISION#*"),
    ("issue", "dynamodb:PutItem", "*", "DELEGATION#*"),
    ("issue", "dynamodb:DeleteItem", "*", "REVIEW#*"),
    ("issue", "dynamodb:DeleteItem", "*", "*"),
    ("issue", "iam:DeleteRolePolicy", "*", ""),
    ("issue", "iam:DetachRolePolicy", "*", ""),
    ("issue", "iam:PutRolePolicy", "*/attachment/*-rights-bare", ""),
    ("issue", "iam:AttachRolePolicy", "*/attachment/*-rights-bare", ""),
    ("issue", "iam:PutRolePolicy", "*/attachment/*-rights-loose", ""),
    ("issue", "iam:PutRolePolicy", "*:role/rights-outside", ""),
    ("issue", "iam:AttachRolePolicy", "*:role/rights-outside", ""),
    ("issue", "iam:AttachRolePolicy", "*/attachment/*-legacy-batch", f"*:policy/brevet/{DEPLOYMENT}/base/*"),
    ("issue", "iam:AttachRolePolicy", "*/attachment/*-legacy-batch", f"*:policy/brevet/{DEPLOYMENT}/*-boundary"),
    ("issue", "iam:AttachRolePolicy", "*/attachment/*-legacy-batch", f"*:policy/brevet/{OTHER}/managed/*"),
    ("issue", "iam:AttachRolePolicy", "*/attachment/*-legacy-batch", "*:aws:policy/AdministratorAccess"),
    ("issue", "iam:PutRolePolicy", "*/session/*", ""),
    ("issue", "iam:AttachRolePolicy", "*/session/*", ""),
    ("issue", "iam:PutRolePolicy", "*/function/*", ""),
    ("reap", "iam:AttachRolePolicy", "*", ""),
    ("reap", "iam:PutRolePolicy", "*/attachment/*", ""),
    ("reap", "iam:PutRolePolicy", "*/function/*", ""),
    ("reap", "iam:DetachRolePolicy", "*/attachment/*-legacy-batch", f"*:policy/brevet/{DEPLOYMENT}/base/*"),
    ("reap", "iam:DetachRolePolicy", "*/attachment/*-legacy-batch", f"*:policy/brevet/{OTHER}/managed/*"),
    ("reap", "sts:AssumeRole", "*", ""),
    ("reap", "dynamodb:PutItem", "*", "DECISION#*"),
    ("reap", "dynamodb:PutItem", "*", "ACT#*"),
    ("reap", "dynamodb:PutItem", "*", "DELEGATION#*"),
    ("reap", "dynamodb:DeleteItem", "*", "REVIEW#*"),
    ("reap", "dynamodb:DeleteItem", "*", "GRANT#*"),
    ("reap", "dynamodb:DeleteItem", "*", "BLOCK#*"),
    ("reap", "dynamodb:DeleteItem", "*", "FINDING#*"),
    *((function, "dynamodb:PutItem", "*", "FINDING#*") for function in ("intake", "evaluate", "issue", "drill")),
    *((function, "dynamodb:PutItem", "*", "TABLE#*") for function in ("intake", "evaluate", "issue", "reap", "drill")),
    *((function, "iam:ListRoles", "*", "") for function in ("intake", "evaluate", "issue", "drill")),
    *((function, "dynamodb:DescribeTable", "*", "") for function in ("intake", "evaluate", "drill")),
    *((function, "dynamodb:PutItem", "*", "DRILL#*") for function in ("intake", "evaluate", "issue", "reap")),
    *(("drill", f"dynamodb:{call}Item", "*", f"{kind}#*") for call in ("Put", "Get", "Delete") for kind in ("GRANT", "DECISION", "HEARTBEAT")),
    ("drill", "dynamodb:DeleteItem", "*", "*"),
    ("drill", "dynamodb:*", "*:table/canary-*", "*"),
    ("drill", "iam:*", "*", ""),
    ("drill", "lambda:InvokeFunction", "*", ""),
    ("drill", "sts:AssumeRole", "*/session/*", ""),
    ("drill", "sts:AssumeRole", "*/attachment/*-legacy-batch", ""),
    *((function, "sts:GetWebIdentityToken", "*", "") for function in ("intake", "evaluate", "issue", "reap")),
]
for _function in ("intake", "evaluate", "issue", "drill"):
    DENIED_BY_DESIGN += [(_function, "secretsmanager:*", "*", "")]
for _call in ("GetSecretValue", "PutSecretValue", "UpdateSecret", "DeleteSecret"):
    DENIED_BY_DESIGN += [("reap", f"secretsmanager:{_call}", "*", "")]
DENIED_BY_DESIGN += [("reap", "secretsmanager:*", "*:secret:staging/*", "")]
for _function in ("intake", "evaluate", "issue", "reap", "drill"):
    # The drill's own denials are listed above: it may assume the canaries.
    if _function != "drill":
        DENIED_BY_DESIGN.append((_function, "sts:AssumeRole", f"*:role/brevet/{DEPLOYMENT}/attachment/*", ""))
    DENIED_BY_DESIGN += [
        (_function, "dynamodb:Scan", "*", ""),
        (_function, "dynamodb:*", f"*:table/brevet-{OTHER}*", "*"),
        (_function, "lambda:InvokeFunction", f"*:function:brevet-{OTHER}-*", ""),
        (_function, "sts:AssumeRole", f"*:role/brevet/{OTHER}/*", ""),
        (_function, "sts:AssumeRole", f"*:role/brevet/{DEPLOYMENT}/function/*", ""),
        (_function, "iam:*", f"*:role/brevet/{OTHER}/*", ""),
        (_function, "iam:*", f"*:policy/brevet/{OTHER}/*", ""),
        (_function, "iam:*Boundary", "*", ""),
        (_function, "iam:CreatePolicyVersion", "*", ""),
        (_function, "iam:UpdateAssumeRolePolicy", "*", ""),
    ]


def test_granted_rights_are_all_used_or_excused(ledger):
    known = granted()
    assert len(known) > 100
    idle = unused(known, ledger.rows)
    assert [right for right in idle if right.action not in EXCUSED] == []
    # An excuse that nothing needs would hide the next unused right.
    assert {right.action for right in idle} == set(EXCUSED)


@pytest.mark.parametrize(("function", "action", "resource", "key"), DENIED_BY_DESIGN)
def test_denial_of_the_design_was_tried_and_never_allowed(ledger, function, action, resource, key):
    outcomes = {
        seen.outcome
        for seen in ledger.rows
        if seen.function == function
        and fnmatch.fnmatchcase(seen.action, action)
        and fnmatch.fnmatchcase(seen.resource, resource)
        and fnmatch.fnmatchcase(seen.key, key or "*")
    }
    assert outcomes == {"denied"}
