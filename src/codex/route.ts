import type { GuildEvent, Priority } from '../kernel/event.ts'
import type { CodexSnapshot, CompiledAgent, CompiledRoute } from './snapshot.ts'

export interface RouteMatch {
  /** each agent once, woken by the first rule that names it */
  readonly agents: readonly {
    readonly agent: CompiledAgent
    readonly rule: string
    /** the rule's; null: the event's own */
    readonly priority: Priority | null
  }[]
  /** every rule and trigger for the event's type, in order, with the reason */
  readonly considered: readonly { readonly rule: string; readonly matched: boolean; readonly why: string }[]
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
  const considered: { rule: string; matched: boolean; why: string }[] = []
  const woken = new Map<string, RouteMatch['agents'][number]>()
  const routes = snapshot.routes.filter((route) => route.eventType === event.type || route.eventType === '*')
  for (const route of routes.filter(({ mute }) => mute !== null)) {
    const why = mismatch(route, event, facts)
    considered.push({ rule: route.rule, matched: why === null, why: why ?? `muted: ${route.mute ?? ''}` })
    if (why === null) return { agents: [], considered, muted: { rule: route.rule, reason: route.mute ?? '' } }
  }
  for (const route of routes.filter(({ mute }) => mute === null)) {
    const why = mismatch(route, event, facts)
    if (why !== null) {
      considered.push({ rule: route.rule, matched: false, why })
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

function mismatch(route: CompiledRoute, event: GuildEvent, facts: Readonly<Record<string, unknown>>): string | null {
  if (route.source !== null && route.source !== event.source) return `it is for ${route.source}, not ${event.source}`
  if (route.where === null) return null
  const verdict = route.where.test(facts)
  if (verdict.error !== null) return `the condition ${route.where.text} cannot be evaluated: ${verdict.error}`
  return verdict.value ? null : `the condition does not hold: ${route.where.text}`
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
