import type { CompiledAgent } from '../codex/snapshot.ts'
import type { GuildEvent } from '../kernel/event.ts'
import { sha256 } from '../kernel/ids.ts'

/** Longer keys are stored as their hash. */
const keyLengthMax = 200

/**
 * The runs that a run of this agent for this event is counted with. A key that cannot be evaluated falls into one slot with all others
 * like it: fewer at the same time is the safe mistake.
 */
export function slotOf(agent: CompiledAgent, event: GuildEvent): { readonly key: string; readonly max: number } | null {
  const { concurrency } = agent.manifest.spec.limits
  if (!concurrency) return null
  const { payload, metadata } = event
  const key = agent.slotKey?.read({ event, payload, metadata }).value ?? ''
  const storable = key.replaceAll('\u0000', '\ufffd').toWellFormed()
  return { key: storable.length > keyLengthMax ? `sha256:${sha256(storable)}` : storable, max: concurrency.max }
}
