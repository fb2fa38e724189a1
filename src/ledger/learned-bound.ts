import type { AgentManifest, PolicyFile } from '../codex/kinds.ts'
import type { Queryable } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import type { Clock } from '../kernel/clock.ts'

const sql = statements(import.meta.url, './learned-bound.sql', ['readRatio'])

/** Fewer calls teach nothing: until then the bound is strict. */
const callsMin = 50
/** On top of what 99 of 100 calls needed. */
const margin = 1.1
const keptMs = 60_000

/** The manifest's own word, else the policies': one that says strict wins, and strict is the default. */
export function inputBoundMode(
  model: Pick<AgentManifest['spec']['model'], 'inputBound'>,
  policies: readonly Pick<PolicyFile, 'spec'>[],
): 'strict' | 'p99' {
  const said = policies.flatMap(({ spec }) => spec.inputBound ?? [])
  if (said.includes('strict')) return 'strict'
  return model.inputBound ?? said[0] ?? 'strict'
}

/**
 * The bound of an input in p99 mode, in tokens: one call in a hundred may pass it, and a budget then by as much.
 * @param bytes the strict bound @param ratio tokens per byte; null: not learnt yet, so strict
 */
export function learnedBound(bytes: number, ratio: number | null): number {
  return ratio === null ? bytes : Math.min(bytes, Math.ceil(bytes * ratio * margin))
}

/** Tokens per byte by model, learnt from the usage rows; read once a minute and process. */
export class LearnedRatios {
  readonly #db: Queryable
  readonly #clock: Clock
  readonly #known = new Map<string, { readonly ratio: number | null; readonly readAt: number }>()

  constructor(db: Queryable, clock: Clock) {
    this.#db = db
    this.#clock = clock
  }

  /** @returns null: fewer than 50 calls of this model have been settled */
  async tokensPerByte(provider: string, model: string): Promise<number | null> {
    const key = `${provider}/${model}`
    const now = this.#clock.now().getTime()
    const known = this.#known.get(key)
    if (known && now - known.readAt < keptMs) return known.ratio
    const { rows } = await this.#db.query<{ ratio: number | null; calls: number }>(sql.readRatio, [provider, model])
    const [row] = rows
    const ratio = row && row.calls >= callsMin ? row.ratio : null
    this.#known.set(key, { ratio, readAt: now })
    return ratio
  }
}
