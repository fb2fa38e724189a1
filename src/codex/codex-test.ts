import type { GuildEvent } from '../kernel/event.ts'
import { hashId, traceId } from '../kernel/ids.ts'
import type { JsonObject, JsonValue } from '../kernel/json.ts'
import { chapterOf } from './chapter.ts'
import type { CodexDocument } from './documents.ts'
import type { TestFile } from './kinds.ts'
import { matchRoutes, type RouteMatch } from './route.ts'
import { evaluateRules, type RuleCall } from './rules.ts'
import { textOf } from './template-filters.ts'
import type { CodexSnapshot, Place } from './snapshot.ts'

type Case = TestFile['spec']['tests'][number]
type Decision = Case['expect']['decisions'][number]

export interface CodexTestResult extends Place {
  readonly name: string
  /** what differs from the expectation; empty: it holds */
  readonly failures: readonly string[]
}

/** Runs the Codex's own tests: who is woken, and what the rules decide. Pure: no model, no network, no clock. */
export function runCodexTests(
  snapshot: CodexSnapshot,
  files: readonly CodexDocument<TestFile>[],
): readonly CodexTestResult[] {
  return files.flatMap(({ file, yaml, value }) =>
    value.spec.tests.map((test, index) => ({
      name: test.name,
      file,
      line: yaml.lineOf(['spec', 'tests', index]),
      failures: failuresOf(snapshot, test),
    })),
  )
}

function failuresOf(snapshot: CodexSnapshot, test: Case): readonly string[] {
  const event = eventOf(snapshot, test)
  const match = matchRoutes(snapshot, event, event.metadata.chapter)
  const failures: string[] = []
  const { disposition, agents, decisions } = test.expect
  const got = dispositionOf(match)
  if (disposition !== undefined && disposition !== got) {
    const why = match.considered.map(({ rule, why: reason }) => `${rule}: ${reason}`).join(' · ')
    failures.push(`the event ends ${got}, not ${disposition}${why && ` (${why})`}`)
  }
  const woken = match.agents.map(({ agent }) => agent.id).toSorted()
  if (agents && agents.toSorted().join() !== woken.join()) {
    failures.push(`wakes ${woken.join(', ') || 'nobody'}, not ${agents.toSorted().join(', ') || 'nobody'}`)
  }
  for (const decision of decisions) failures.push(...decisionFailures(snapshot, event, test, decision))
  return failures
}

function dispositionOf({ muted, agents, considered }: RouteMatch): 'MUTED' | 'ROUTED' | 'UNROUTED' | 'FILTERED' {
  if (muted) return 'MUTED'
  if (agents.length > 0) return 'ROUTED'
  return considered.length > 0 ? 'FILTERED' : 'UNROUTED'
}

function decisionFailures(
  snapshot: CodexSnapshot,
  event: GuildEvent,
  test: Case,
  expected: Decision,
): readonly string[] {
  const agent = snapshot.agents.get(expected.agent)
  if (!agent) return [`there is no agent ${expected.agent}`]
  const { name: id, type, version } = agent.manifest.metadata
  const decision = evaluateRules(agent.rules, {
    event,
    context: test.context as JsonObject, // read from YAML: it is JSON
    agent: { id, type, version, chapter: agent.manifest.metadata.chapter ?? null },
  })
  const failures = [
    ...decision.errors.map((error) => `a condition cannot be evaluated: ${error}`),
    ...decision.missing.map((path) => `a template finds nothing: ${path}`),
  ]
  if (expected.matched && expected.matched.join() !== decision.matched.join()) {
    failures.push(
      `matched ${decision.matched.join(', ') || 'no rule'}, not ${expected.matched.join(', ') || 'no rule'}`,
    )
  }
  if (expected.summary !== undefined && !decision.summary.includes(expected.summary)) {
    failures.push(`the summary is “${decision.summary}”`)
  }
  if (expected.actions) {
    const asked = decision.calls.map(({ action }) => action).join(', ')
    const wanted = expected.actions.map(({ action }) => action).join(', ')
    if (asked !== wanted) failures.push(`asks for ${asked || 'nothing'}, not ${wanted || 'nothing'}`)
    else failures.push(...expected.actions.flatMap((action, index) => callFailures(decision.calls[index], action)))
  }
  return failures.map((failure) => `${expected.agent}: ${failure}`)
}

function callFailures(
  call: RuleCall | undefined,
  { action, args, contains, lacks }: NonNullable<Decision['actions']>[number],
): readonly string[] {
  const have = (name: string): JsonValue | undefined => call?.args[name]
  const shown = (name: string): string => JSON.stringify(have(name)) ?? 'nothing'
  return [
    ...Object.entries(args)
      .filter(([name, want]) => JSON.stringify(have(name)) !== JSON.stringify(want))
      .map(([name, want]) => `${action}.${name} is ${shown(name)}, not ${JSON.stringify(want)}`),
    ...Object.entries(contains)
      .filter(([name, part]) => !textOf(have(name)).includes(part))
      .map(([name, part]) => `${action}.${name} lacks “${part}”: ${shown(name)}`),
    ...Object.entries(lacks)
      .filter(([name, part]) => textOf(have(name)).includes(part))
      .map(([name, part]) => `${action}.${name} has “${part}”: ${shown(name)}`),
  ]
}

const instant = '2026-01-05T09:00:00.000Z'

/** The event as the gateway would have made it. */
function eventOf(snapshot: CodexSnapshot, { name, event }: Case): GuildEvent {
  const payload = event.payload as JsonObject // read from YAML: it is JSON
  const repository = typeof payload['repo'] === 'string' ? payload['repo'] : null
  const id = hashId('evt', 'codex-test', name)
  return {
    id,
    timestamp: instant,
    type: event.type,
    source: event.source,
    payload,
    metadata: {
      schema_version: 1,
      trace_id: traceId(id),
      priority: event.priority,
      occurred_at: instant,
      received_at: instant,
      delivery_id: name,
      receipt_id: hashId('rcv', name),
      dedup_key: name,
      body_hash: null,
      subject: { kind: 'test', id: `${repository ?? 'test'}#${textOf(payload['number'])}`, url: null },
      actor: { kind: 'user', id: event.actor, display: event.actor, integrity: event.integrity },
      correlation_id: null,
      origin: 'webhook',
      connector: event.source,
      chapter: event.chapter ?? chapterOf(snapshot, { connector: event.source, repository }),
      self: event.self,
      marker: null,
      causal: { root: id, depth: 0, parent: null },
    },
  }
}
