import type { Outbox } from '../bus/outbox.ts'
import type { Queryable } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import type { Clock } from '../kernel/clock.ts'
import type { GuildEvent, Priority } from '../kernel/event.ts'
import type { Tracer } from '../traces/tracer.ts'
import { confirmSpan } from './action-spans.ts'
import { announceAction, recordAction } from './records.ts'

const sql = statements(import.meta.url, './echo.sql', ['findSent', 'confirm'])

export interface EchoesDeps {
  readonly outbox: Outbox
  readonly clock: Clock
  /** our own accounts on a connector: GITHUB_BOT_LOGIN and the connector's `botLogins`; empty: not known */
  readonly botLogins: (connector: string) => readonly string[]
  readonly tracer?: Tracer
}

/**
 * Our own work coming back as a webhook (edges 3.1, 4): it settles an action in doubt without asking anybody, and tells the dispatcher
 * whose work the event is, so that agents do not answer themselves.
 */
export class Echoes {
  readonly #deps: EchoesDeps

  constructor(deps: EchoesDeps) {
    this.#deps = deps
  }

  /**
   * @param claim `act_…` or `guild:act_…`, as found in what the event has just written
   * @returns whose work it is; null when nothing of ours fits: the marker was copied or made up
   */
  async confirm(
    tx: Queryable,
    claim: { readonly marker: string; readonly event: GuildEvent },
  ): Promise<{
    readonly invocationId: string | null
    readonly causalRoot: string
    readonly causalDepth: number
  } | null> {
    const { rows } = await tx.query<SentAction>(sql.findSent, [claim.marker.replace(/^guild:/, '')])
    const [action] = rows
    if (!action || !echoFits(action, claim.event, this.#deps.botLogins(action.connector))) return null
    const at = this.#deps.clock.now()
    const confirms = action.state === 'SUCCEEDED' || !settled.has(action.state)
    if (confirms && this.#deps.tracer?.on) this.#deps.tracer.record([confirmSpan(action, claim.event, at)])
    if (settled.has(action.state)) return originOf(action)

    const facts = factsOf(action.type, claim.event)
    await tx.query(sql.confirm, [action.id, facts.remoteId, facts.url, at])
    await recordAction(tx, this.#deps.outbox, action, {
      at,
      stage: 'action',
      outcome: 'SUCCEEDED',
      reason: 'done: it came back to us as an event',
      detail: { confirmed_by: 'echo', echo: claim.event.id },
      audit: { event_type: 'ACTION_EXECUTED', actor: 'system:actions', result: 'SUCCESS', nth: action.attempts },
    })
    // Whatever waits behind it may go on; the worker that is still in the call, if there is one, goes on by itself.
    if (action.state !== 'EXECUTING') await announceAction(tx, this.#deps.outbox, action)
    return originOf(action)
  }
}

export interface SentAction {
  readonly id: string
  readonly state: string
  readonly attempts: number
  readonly type: string
  readonly connector: string
  readonly target_system: string
  readonly target: string
  readonly rendered: { readonly body?: { readonly body?: unknown } | null } | null
  readonly remote_id: string | null
  readonly remote: { readonly login?: string } | null
  readonly agent_id: string
  readonly event_id: string
  readonly trace_id: string
  readonly invocation_id: string | null
  readonly codex_commit: string
  readonly causal_root: string
  readonly causal_depth: number
  readonly awaited: boolean
  readonly undo_of: string | null
  readonly priority: Priority
}

const settled: ReadonlySet<string> = new Set(['SUCCEEDED', 'UNDONE', 'FAILED', 'DENIED', 'EXPIRED', 'SHADOWED'])

function originOf(action: SentAction) {
  return { invocationId: action.invocation_id, causalRoot: action.causal_root, causalDepth: action.causal_depth }
}

/**
 * Is the event what this action did? It must be about the same place, must not contradict the id we know, and must come from our own
 * account. Where that is not known, the id must be the one we know, or the words exactly those we sent: a copied marker is not enough.
 */
export function echoFits(action: Omit<SentAction, 'state'>, event: GuildEvent, botLogins: readonly string[]): boolean {
  if (event.source !== action.target_system) return false
  const facts = factsOf(action.type, event)
  if (facts.place?.toLowerCase() !== action.target.toLowerCase()) return false
  if (action.remote_id !== null && facts.remoteId !== action.remote_id) return false
  const ours = [...botLogins, action.remote?.login]
    .filter((login) => login !== undefined)
    .map((login) => login.toLowerCase())
  if (ours.length > 0) return ours.includes(facts.sender?.toLowerCase() ?? '')
  if (action.remote_id !== null) return true
  if (action.type === 'GITHUB_CHECK_RUN') return facts.externalId === action.id
  const sent = action.rendered?.body?.body
  return typeof sent === 'string' && facts.body !== null && plain(sent) === plain(facts.body)
}

interface EchoFacts {
  /** in the form of an action's target */
  readonly place: string | null
  readonly remoteId: string | null
  readonly url: string | null
  readonly sender: string | null
  readonly body: string | null
  readonly externalId: string | null
}

/** Which member of GitHub's payload is the thing that an action of the type makes. */
const made: Readonly<Record<string, string>> = {
  GITHUB_COMMENT: 'comment',
  GITHUB_REVIEW: 'review',
  GITHUB_ISSUE: 'issue',
  GITHUB_CHECK_RUN: 'check_run',
}

function factsOf(type: string, event: GuildEvent): EchoFacts {
  const { payload } = event
  const thing = made[type] ?? ''
  const repo = textAt(payload, 'repo') ?? textAt(payload, 'github', 'repository', 'full_name')
  const number = textAt(payload, 'github', 'issue', 'number') ?? textAt(payload, 'github', 'pull_request', 'number')
  const sha = textAt(payload, 'github', 'check_run', 'head_sha')
  const suffix = thing === 'issue' ? '' : thing === 'check_run' ? `@${sha}` : `#${number}`
  return {
    place: repo === null ? null : `${repo}${suffix}`,
    remoteId: textAt(payload, 'github', thing, 'id'),
    url: textAt(payload, 'github', thing, 'html_url'),
    sender: textAt(payload, 'sender') ?? textAt(payload, 'github', 'sender', 'login'),
    body: textAt(payload, 'github', thing, 'body'),
    externalId: textAt(payload, 'github', thing, 'external_id'),
  }
}

function textAt(value: unknown, ...path: readonly string[]): string | null {
  let at = value
  for (const name of path) {
    const has = typeof at === 'object' && at !== null && Object.hasOwn(at, name)
    at = has ? (at as Record<string, unknown>)[name] : undefined
  }
  return typeof at === 'string' ? at : typeof at === 'number' ? String(at) : null
}

/** GitHub stores line ends as CRLF in places and trims the end. */
function plain(body: string): string {
  return body.replaceAll('\r\n', '\n').trimEnd()
}
