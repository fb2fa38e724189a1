import type { GuildEvent, Priority } from '../kernel/event.ts'
import type { CodexSnapshot, CompiledAgent, CompiledRoute } from './snapshot.ts'

// A type, not an interface: as it stands it is a JSON value, and goes into the records.
export type Considered = { readonly rule: string; readonly matched: boolean; readonly why: string }

/** Most rules say no, each to most events, and with the same words. */
const notHolding = new WeakMap<CompiledRoute, Considered>()

export interface RouteMatch {
  /** each agent once, woken by the first rule that names it */
  readonly agents: readonly {
    readonly agent: CompiledAgent
    readonly rule: string
    /** the rule's; null: the event's own */
    readonly priority: Priority | null
  }[]
  /** every rule and trigger for the event's type, in order, with the reason */
  readonly considered: readonly Considered[]
  /** set: nobody is woken */
  readonly muted: { readonly rule: string; readonly reason: string } | null
}

/**
 * Who is woken by an event. Pure. Rules of `routing/` come first, in the order of files and lines, then the triggers of manifests.
 * A target is an agent's name, or a type: then the agent of that type in the event's chapter, else the org-wide one. In its chapter an
 * agent takes the place of the org-wide agent of its type, so that one event never wakes both; outside, its triggers are silent.
 */
export function matchRoutes(snapshot: CodexSnapshot, event: GuildEvent, chapter: string | null): RouteMatch {
  const facts = { event, payload: event.payload, metadata: event.metadata }
  const considered: Considered[] = []
  const woken = new Map<string, RouteMatch['agents'][number]>()
  const routes = snapshot.routes.filter((route) => route.eventType === event.type || route.eventType === '*')
  for (const route of routes.filter(({ mute }) => mute !== null)) {
    const miss = mismatch(route, event, facts)
    considered.push(miss ?? { rule: route.rule, matched: true, why: `muted: ${route.mute ?? ''}` })
    if (miss === null) return { agents: [], considered, muted: { rule: route.rule, reason: route.mute ?? '' } }
  }
  for (const route of routes.filter(({ mute }) => mute === null)) {
    const miss = mismatch(route, event, facts)
    if (miss !== null) {
      considered.push(miss)
      continue
    }
    const notes = route.targets.map((target) => {
      const found = isTrigger(route)
        ? ownAgent(snapshot, target, chapter)
        : (snapshot.agents.get(target) ?? agentOfType(snapshot, target, chapter))
      if (typeof found === 'string') return { matched: false, note: found }
      if (!found) return { matched: false, note: `no ${target} serves ${chapter ?? 'events without a chapter'}` }
      const before = woken.get(found.id)
      if (before) return { matched: true, note: `${found.id} is already woken by ${before.rule}` }
      woken.set(found.id, { agent: found, rule: route.rule, priority: route.priority })
      return { matched: true, note: `wakes ${found.id}` }
    })
    const matched = notes.some((note) => note.matched)
    considered.push({ rule: route.rule, matched, why: notes.map(({ note }) => note).join('; ') })
  }
  return { agents: [...woken.values()], considered, muted: null }
}

/** The agent of a type that serves a chapter: its own, else the org-wide one (the first by name). */
export function agentOfType(snapshot: CodexSnapshot, type: string, chapter: string | null): CompiledAgent | null {
  const ofType = [...snapshot.agents.values()].filter(({ manifest }) => manifest.metadata.type === type)
  const own = ofType.find(({ manifest }) => chapter !== null && manifest.metadata.chapter === chapter)
  return own ?? ofType.find(({ manifest }) => manifest.metadata.chapter === undefined) ?? null
}

function mismatch(
  route: CompiledRoute,
  event: GuildEvent,
  facts: Readonly<Record<string, unknown>>,
): Considered | null {
  const { rule, source, where } = route
  if (source !== null && source !== event.source) {
    return { rule, matched: false, why: `it is for ${source}, not ${event.source}` }
  }
  if (where === null) return null
  const verdict = where.test(facts)
  if (verdict.error !== null) {
    return { rule, matched: false, why: `the condition ${where.text} cannot be evaluated: ${verdict.error}` }
  }
  if (verdict.value) return null
  const known = notHolding.get(route)
  if (known) return known
  const miss = { rule, matched: false, why: `the condition does not hold: ${where.text}` }
  notHolding.set(route, miss)
  return miss
}

/** Rules stand in `routing/`, triggers in `agents/`: the loader accepts nothing else. */
function isTrigger(route: CompiledRoute): boolean {
  return route.rule.startsWith('agents/')
}

/** The agent of a manifest trigger, or why it stays asleep. */
function ownAgent(snapshot: CodexSnapshot, id: string, chapter: string | null): CompiledAgent | string | null {
  const agent = snapshot.agents.get(id)
  if (!agent) return null
  const { chapter: home, type } = agent.manifest.metadata
  if (home !== undefined) return home === chapter ? agent : `${id} serves only the chapter ${home}`
  const stand = agentOfType(snapshot, type, chapter)
  return stand === null || stand === agent || stand.manifest.metadata.chapter === undefined
    ? agent
    : `${stand.id} takes the place of ${id} in the chapter ${chapter ?? ''}`
}
