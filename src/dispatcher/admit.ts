import type { CodexSnapshot, CompiledAgent } from '../codex/snapshot.ts'
import { causalLimits } from './causal-limits.ts'
import { type Ruling, type Waking, withWakings } from './decide.ts'

/** What must be known before agents are woken, and must not change until that is written. */
export interface AdmissionQuestions {
  /** trees that an event of this batch is not the root of */
  readonly roots: readonly string[]
  /** concurrency keys whose overlap is decided here, not in line */
  readonly slots: readonly { readonly agent: string; readonly key: string }[]
}

export interface OpenRun {
  readonly id: string
  readonly state: 'WAITING' | 'STARTED' | 'CANCELLED'
}

export interface AdmissionFacts {
  /** runs in the tree of a root */
  readonly trees: ReadonlyMap<string, number>
  /** runs of an agent's key that have not ended, as they stand in line; by `slotName` */
  readonly slots: ReadonlyMap<string, readonly OpenRun[]>
}

export const noFacts: AdmissionFacts = { trees: new Map(), slots: new Map() }

export function slotName(agent: string, key: string): string {
  return `${agent} ${key}`
}

export function admissionQuestions(rulings: readonly Ruling[], snapshot: CodexSnapshot): AdmissionQuestions {
  const roots = new Set<string>()
  const slots = new Map<string, { readonly agent: string; readonly key: string }>()
  for (const { event, wakings } of rulings) {
    for (const { outcome, slot, agentId } of wakings) {
      if (outcome !== 'ROUTED') continue
      const { depth, root } = event.metadata.causal
      if (depth > 0) roots.add(root)
      if (slot && overlapOf(snapshot.agents.get(agentId)) !== 'queue') {
        slots.set(slotName(agentId, slot.key), { agent: agentId, key: slot.key })
      }
    }
  }
  return { roots: [...roots], slots: [...slots.values()] }
}

/**
 * Admission at dispatch: of the agents that an event would wake, who joins a run that waits, who is refused, and whom that stops. In
 * order of the batch, and what is admitted counts for what follows. Pure. What is known only when a run starts (who holds the slot
 * now, the breaker) is asked in the claim.
 */
export function admit(rulings: readonly Ruling[], snapshot: CodexSnapshot, facts: AdmissionFacts): readonly Ruling[] {
  const trees = new Map(facts.trees)
  const slots = new Map([...facts.slots].map(([name, runs]) => [name, [...runs]]))
  return rulings.map((ruling) => {
    if (!ruling.wakings.some(({ outcome }) => outcome === 'ROUTED')) return ruling
    const { root } = ruling.event.metadata.causal
    const wakings = ruling.wakings.map((waking): Waking => {
      const agent = snapshot.agents.get(waking.agentId)
      if (waking.outcome !== 'ROUTED' || !agent) return waking
      const overlapped = overlap(waking, agent, slots)
      if (overlapped.outcome !== 'ROUTED') return overlapped
      const runs = trees.get(root) ?? 0
      const { maxFanOut } = causalLimits(snapshot, agent)
      if (runs >= maxFanOut) return fannedOut(waking, agent, { root, runs, maxFanOut })
      trees.set(root, runs + 1)
      enter(overlapped, slots)
      return overlapped
    })
    return withWakings(ruling, wakings)
  })
}

function fannedOut(
  waking: Waking,
  agent: CompiledAgent,
  tree: { readonly root: string; readonly runs: number; readonly maxFanOut: number },
): Waking {
  const { root, runs, maxFanOut } = tree
  return {
    ...waking,
    outcome: 'LOOP_STOPPED',
    reason: `the tree of ${root} has ${runs} runs already, and ${agent.id} joins only up to ${maxFanOut} (limits.causal.maxFanOut in ${agent.place.file}, or a policy); what a person does begins a new tree`,
  }
}

function overlap(waking: Waking, agent: CompiledAgent, slots: ReadonlyMap<string, readonly OpenRun[]>): Waking {
  const how = overlapOf(agent)
  if (!waking.slot || how === 'queue') return waking
  const { key, max } = waking.slot
  const open = (slots.get(slotName(agent.id, key)) ?? []).filter(({ state }) => state !== 'CANCELLED')
  const of = key === '' ? agent.id : `${agent.id} for ${key}`
  const waiting = open.find(({ state }) => state === 'WAITING')
  switch (how) {
    case 'coalesce':
      if (!waiting) return waking
      return {
        ...waking,
        outcome: 'COALESCED',
        into: waiting.id,
        reason: `joins ${waiting.id} of ${of}, which has not started yet`,
      }
    case 'drop':
      if (open.length < max) return waking
      return {
        ...waking,
        outcome: 'DROPPED',
        reason: `dropped: ${open.length} of ${max} runs of ${of} are not over (${named(open)}); overlap: queue in ${agent.place.file} would keep it`,
      }
    case 'cancel_old': {
      const tooMany = open.slice(0, Math.max(0, open.length - max + 1))
      if (tooMany.length === 0) return waking
      return {
        ...waking,
        cancels: tooMany.map(({ id }) => id),
        reason: `${waking.reason}; it takes the place of ${named(tooMany)}`,
      }
    }
  }
}

function enter(waking: Waking, slots: Map<string, OpenRun[]>): void {
  if (!waking.slot) return
  const name = slotName(waking.agentId, waking.slot.key)
  const open = (slots.get(name) ?? []).map((run): OpenRun =>
    waking.cancels.includes(run.id) ? { ...run, state: 'CANCELLED' } : run,
  )
  // Another dispatcher may have made it meanwhile; then the write finds out, and what is known of it stands.
  const known = open.some(({ id }) => id === waking.invocationId)
  slots.set(name, known ? open : [...open, { id: waking.invocationId, state: 'WAITING' }])
}

function overlapOf(agent: CompiledAgent | undefined): 'queue' | 'coalesce' | 'drop' | 'cancel_old' {
  return agent?.manifest.spec.limits.concurrency?.overlap ?? 'queue'
}

function named(runs: readonly OpenRun[]): string {
  const more = runs.length > 3 ? ` and ${runs.length - 3} more` : ''
  return `${runs
    .slice(0, 3)
    .map(({ id }) => id)
    .join(', ')}${more}`
}
