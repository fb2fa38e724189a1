import { nearest } from '../codex/nearest.ts'
import { matchRoutes, type RouteMatch } from '../codex/route.ts'
import type { CodexSnapshot } from '../codex/snapshot.ts'
import type { Causal, Disposition, GuildEvent, Handoff, Priority } from '../kernel/event.ts'
import { hashId } from '../kernel/ids.ts'
import { causalLimits } from './causal-limits.ts'
import type { Echo } from './echo.ts'
import { slotOf } from './slot.ts'

/** Given by sources to what they have no type for. */
const unmappedType = 'SOURCE_EVENT_UNMAPPED'

/** What the records say about an event that has just arrived. */
export interface Known {
  /** an event that is the same delivery, the same fact, or the same body under another delivery id */
  readonly original: { readonly eventId: string; readonly by: 'delivery' | 'fact' | 'body' } | null
  /** the last thing one of our actions did to the same object, within ten minutes; null for people */
  readonly cause: (Causal & { readonly actionId: string }) | null
}

export interface Arrival {
  readonly event: GuildEvent
  readonly known: Known
  readonly echo: Echo | null
}

export interface Waking {
  readonly agentId: string
  readonly agentType: string
  readonly agentVersion: string
  readonly chapter: string | null
  readonly rule: string
  readonly priority: Priority
  readonly invocationId: string
  readonly outcome: 'ROUTED' | 'COALESCED' | 'LOOP_STOPPED' | 'DROPPED' | 'OVER_BUDGET' | 'DEGRADED'
  readonly reason: string
  /** of `limits.concurrency`: which runs it is counted with, and how many of them may run; null: no limit */
  readonly slot: { readonly key: string; readonly max: number } | null
  /** COALESCED: the run that has not started, and works on this event as well */
  readonly into: string | null
  /** older runs that end at their next edge because of this one */
  readonly cancels: readonly string[]
}

/** What becomes of one reception, and why. */
export interface Ruling {
  /** with its place in the tree of causes as it was found to be */
  readonly event: GuildEvent
  readonly disposition: Disposition
  readonly rule: string | null
  readonly reason: string
  readonly duplicateOf: string | null
  readonly wakings: readonly Waking[]
  readonly considered: RouteMatch['considered']
  /** for what was not routed: the rule that came nearest */
  readonly nearest: string | null
}

/**
 * Decides a batch, in order; a repetition within the batch is a duplicate of the first. Pure: no clock, no records, no log.
 * @param botLogins our own accounts, beside those that the event's connector names
 */
export function decide(
  arrivals: readonly Arrival[],
  snapshot: CodexSnapshot,
  botLogins: readonly string[] = [],
): readonly Ruling[] {
  const seen = new Map<string, { readonly eventId: string; readonly deliveryId: string }>()
  return arrivals.map((arrival) => {
    const { event, known } = arrival
    const original = known.original ?? repetition(event, seen)
    if (original) return duplicate(event, original)
    for (const key of Object.values(keysOf(event))) {
      if (!seen.has(key)) seen.set(key, { eventId: event.id, deliveryId: event.metadata.delivery_id })
    }
    return decideNew(arrival, snapshot, botLogins)
  })
}

function decideNew({ event, known, echo }: Arrival, snapshot: CodexSnapshot, botLogins: readonly string[]): Ruling {
  if (echo) {
    const causal = { root: echo.causalRoot, depth: echo.causalDepth + 1, parent: echo.invocationId }
    const reason = `our own action ${event.metadata.marker ?? ''} came back as an event`
    return ruling(placed(event, causal, true), 'SELF_ECHO', reason)
  }
  if (isOwn(event, snapshot, botLogins)) {
    return ruling(placed(event, known.cause, true), 'SELF_ECHO', `${event.metadata.actor.display} is our own account`)
  }
  const here = placed(event, known.cause, false)
  if (event.type === unmappedType) {
    return ruling(
      here,
      'UNMAPPED',
      `${event.source} sent something that has no event type; it is kept and wakes nobody`,
    )
  }
  if (here.source === 'guild' && here.metadata.handoff) return handedOff(here, here.metadata.handoff, snapshot)
  const match = matchRoutes(snapshot, here, here.metadata.chapter)
  if (match.muted) {
    return ruling(here, 'MUTED', match.muted.reason, { rule: match.muted.rule, considered: match.considered })
  }
  if (match.agents.length === 0) return unrouted(here, match, snapshot)
  const wakings = match.agents.map((woken) => waking(here, woken, snapshot))
  return withWakings(ruling(here, 'ROUTED', '', { considered: match.considered }), wakings)
}

/** It names its agent: no rule is asked, but every limit is. */
function handedOff(event: GuildEvent, { to, from }: Handoff, snapshot: CodexSnapshot): Ruling {
  const agent = snapshot.agents.get(to)
  const giver = snapshot.agents.get(from)
  const rule = `${giver?.place.file ?? `agents of ${from}`}#handoff`
  if (!agent)
    return ruling(event, 'UNROUTED', `${from} handed work to ${to}, which is no longer in the Codex`, { rule })
  return withWakings(ruling(event, 'ROUTED', ''), [waking(event, { agent, rule, priority: null }, snapshot)])
}

/** What becomes of an event whose agents were refused: the outcome that comes first here. */
const outcomes = [
  ['ROUTED', 'ROUTED'],
  ['COALESCED', 'COALESCED'],
  ['LOOP_STOPPED', 'LOOP_STOPPED'],
  ['OVER_BUDGET', 'OVER_BUDGET'],
  ['DROPPED', 'RATE_LIMITED'],
  ['DEGRADED', 'UNROUTED'],
] as const

/** A ruling follows from what becomes of the agents that are named; at least one is. */
export function withWakings(before: Ruling, wakings: readonly Waking[]): Ruling {
  const found = outcomes.find(([name]) => wakings.some(({ outcome }) => outcome === name))
  const [outcome, disposition] = found ?? (['DEGRADED', 'UNROUTED'] as const)
  const first = wakings.find((waking) => waking.outcome === outcome)
  const woken = wakings.filter((waking) => waking.outcome === 'ROUTED')
  const reason =
    woken.length > 0
      ? `wakes ${woken.map(({ agentId }) => agentId).join(', ')}`
      : wakings.map((waking) => waking.reason).join('; ')
  return { ...before, disposition, reason, rule: first?.rule ?? null, wakings }
}

function waking(
  event: GuildEvent,
  { agent, rule, priority }: RouteMatch['agents'][number],
  snapshot: CodexSnapshot,
): Waking {
  const { metadata } = agent.manifest
  const { depth, root } = event.metadata.causal
  const { maxDepth } = causalLimits(snapshot, agent)
  const verdict =
    agent.unmet.length > 0
      ? ({ outcome: 'DEGRADED', reason: `${agent.id} is degraded: ${agent.unmet.join('; ')}` } as const)
      : depth > maxDepth
        ? ({
            outcome: 'LOOP_STOPPED',
            reason: `${agent.id} may act on causes up to ${maxDepth} deep, this is ${depth} deep in the tree of ${root}`,
          } as const)
        : ({ outcome: 'ROUTED', reason: `${rule} wakes ${agent.id}` } as const)
  return {
    agentId: agent.id,
    agentType: metadata.type,
    agentVersion: metadata.version,
    chapter: metadata.chapter ?? event.metadata.chapter,
    rule,
    priority: priority ?? event.metadata.priority,
    invocationId: hashId('inv', event.id, agent.id),
    slot: slotOf(agent, event),
    into: null,
    cancels: [],
    ...verdict,
  }
}

/** FILTERED: a rule is for this type and source, but its condition (or chapter) said no. UNROUTED: no rule is. */
function unrouted(event: GuildEvent, match: RouteMatch, snapshot: CodexSnapshot): Ruling {
  const routes = new Map(snapshot.routes.map((route) => [route.rule, route]))
  const fitting = match.considered.filter(({ rule }) => {
    const route = routes.get(rule)
    return route && route.mute === null && (route.source === null || route.source === event.source)
  })
  const closest = fitting.find(({ rule }) => routes.get(rule)?.eventType === event.type) ?? fitting[0]
  if (closest) {
    const more = fitting.length > 1 ? ` (and ${fitting.length - 1} more)` : ''
    const rest = { rule: closest.rule, considered: match.considered, nearest: closest.rule }
    return ruling(event, 'FILTERED', `${closest.rule}${more}: ${closest.why}`, rest)
  }
  const near = nearestRule(event, snapshot)
  const hint = near ? `; the nearest is ${near.rule}, for ${near.what}` : ''
  const reason = `no rule is for ${event.type} from ${event.source}${hint}`
  return ruling(event, 'UNROUTED', reason, { considered: match.considered, nearest: near?.rule ?? null })
}

/** The same type from another source, else the type spelled most alike. */
function nearestRule(
  event: GuildEvent,
  snapshot: CodexSnapshot,
): { readonly rule: string; readonly what: string } | null {
  const routes = snapshot.routes.filter(({ mute, eventType }) => mute === null && eventType !== '*')
  const sameType = routes.find(({ eventType }) => eventType === event.type)
  if (sameType) return { rule: sameType.rule, what: `${sameType.eventType} from ${sameType.source ?? 'anywhere'}` }
  const type = nearest(event.type, new Set(routes.map(({ eventType }) => eventType)))
  const route = routes.find(({ eventType }) => eventType === type)
  return route ? { rule: route.rule, what: route.eventType } : null
}

function duplicate(event: GuildEvent, { eventId, by }: NonNullable<Known['original']>): Ruling {
  const reason = {
    delivery: `the delivery ${event.metadata.delivery_id} was received before`,
    fact: `the same fact is already ${eventId}`,
    body: `the same body was already received as ${eventId}, under another delivery id`,
  }[by]
  return ruling(event, 'DUPLICATE', reason, { duplicateOf: eventId })
}

function repetition(
  event: GuildEvent,
  seen: ReadonlyMap<string, { readonly eventId: string; readonly deliveryId: string }>,
): Known['original'] {
  const keys = keysOf(event)
  const byId = seen.get(keys.delivery)
  if (byId) return { eventId: byId.eventId, by: 'delivery' }
  const byFact = seen.get(keys.fact)
  if (byFact) return { eventId: byFact.eventId, by: 'fact' }
  const byBody = keys.body === undefined ? undefined : seen.get(keys.body)
  // Several events of one delivery share its body.
  return byBody && byBody.deliveryId !== event.metadata.delivery_id ? { eventId: byBody.eventId, by: 'body' } : null
}

function keysOf({ id, source, metadata }: GuildEvent): { delivery: string; fact: string; body?: string } {
  return {
    delivery: `id:${id}`,
    fact: `fact:${source}:${metadata.dedup_key}`,
    ...(metadata.body_hash !== null && { body: `body:${source}:${metadata.body_hash}` }),
  }
}

/** With a marker, `self` may stand on the marker alone, which anybody can copy: then only the account counts. */
function isOwn({ metadata }: GuildEvent, snapshot: CodexSnapshot, botLogins: readonly string[]): boolean {
  if (metadata.self && metadata.marker === null) return true
  const own = [...botLogins, ...(snapshot.connectors.get(metadata.connector)?.spec.botLogins ?? [])]
  const actor = metadata.actor.id.toLowerCase()
  return own.some((login) => login.toLowerCase() === actor)
}

/** The deeper of what the event says about itself and what the records say about its object. */
function placed(event: GuildEvent, cause: Causal | null, self: boolean): GuildEvent {
  const own = event.metadata.causal
  const { root, depth, parent } = cause && cause.depth > own.depth ? cause : own
  return { ...event, metadata: { ...event.metadata, self, causal: { root, depth, parent } } }
}

function ruling(
  event: GuildEvent,
  disposition: Disposition,
  reason: string,
  rest: Partial<Omit<Ruling, 'event' | 'disposition' | 'reason'>> = {},
): Ruling {
  return {
    event,
    disposition,
    reason,
    rule: null,
    duplicateOf: null,
    wakings: [],
    considered: [],
    nearest: null,
    ...rest,
  }
}
