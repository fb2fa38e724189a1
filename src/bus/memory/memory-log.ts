import type { LoggedMessage } from '../bus.ts'
import { priorityOf, type WireMessage } from '../message-rules.ts'

export interface Entry extends WireMessage {
  readonly position: number
  readonly topic: string
  readonly publishedAt: Date
}

/** What one group has not acknowledged of one entry. */
export interface Open {
  readonly entry: Entry
  state: 'ready' | 'delayed' | 'claimed'
  dueMs: number
  attempts: number
  /** grows with every claim, so that a late consumer cannot settle another's */
  claim: number
  readonly history: { attempt: number; at: string; reason: string }[]
}

export interface Group {
  readonly topic: string
  readonly name: string
  readonly open: Map<number, Open>
}

/** The state that several MemoryBus of one test share, as processes share a database. */
export class MemoryLog {
  entries: Entry[] = []
  readonly groups: Group[] = []
  readonly #wakes = new Set<() => void>()
  #positions = 0
  #claims = 0

  nextPosition(): number {
    this.#positions += 1
    return this.#positions
  }

  nextClaim(): number {
    this.#claims += 1
    return this.#claims
  }

  onWake(wake: () => void): () => void {
    this.#wakes.add(wake)
    return () => this.#wakes.delete(wake)
  }

  wakeAll(): void {
    for (const wake of this.#wakes) queueMicrotask(wake)
  }
}

export function openFor(entry: Entry, nowMs: number): Open {
  const dueMs = entry.notBefore?.getTime() ?? 0
  return { entry, state: dueMs > nowMs ? 'delayed' : 'ready', dueMs, attempts: 0, claim: 0, history: [] }
}

export function loggedOf(entry: Entry): LoggedMessage {
  return {
    position: String(entry.position),
    id: entry.id,
    topic: entry.topic,
    key: entry.key,
    priority: priorityOf(entry.lane),
    body: JSON.parse(entry.body) as unknown,
    publishedAt: entry.publishedAt,
  }
}
