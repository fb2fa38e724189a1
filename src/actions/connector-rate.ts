import type { Cache, RateLimit } from '../cache/cache.ts'
import { windowLimit } from '../cache/window-limit.ts'
import type { ConnectorFile } from '../codex/kinds.ts'
import { readCallRate } from '../kernel/call-rate.ts'
import { isGuildError, reasonOf } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import type { Target } from './target.ts'

/** How long a worker may wait for its turn with the lane in hand; whoever has to wait longer goes back to its lane. */
const inHandMsMax = 10_000
/** Until the cache is asked again after it could not be. */
const blindMs = 2_000

export interface RateDeps {
  readonly cache: Pick<Cache, 'take'>
  readonly log: Log
  /** told of every wait, for the metrics */
  readonly onRateWait?: (connector: string, waitMs: number) => void
}

export type Turn =
  | { readonly kind: 'go'; readonly waitMs: number }
  | { readonly kind: 'back'; readonly waitMs: number; readonly reason: string }

/** Everything that bounds calls of a connector: what its file says, or else what its system bears, and the pace between two of them. */
export function connectorLimits(
  connector: string,
  file: ConnectorFile | undefined,
  target: Target,
): readonly RateLimit[] {
  const rates =
    file?.spec.rate.writes?.map((text) => readCallRate(text)).filter((rate) => rate !== null) ?? target.rates ?? []
  return [...paceLimits(connector, target), ...rates.map((rate) => windowLimit(connector, rate))]
}

/** For calls that only look: they create nothing, but they too keep their distance. */
export function paceLimits(connector: string, target: Target | null): readonly RateLimit[] {
  const periodMs = target?.minIntervalMs ?? 0
  return periodMs > 0 ? [{ key: `ratelimit:${connector}:pace`, rate: 1, periodMs, burst: 1 }] : []
}

/**
 * The next free slot of a connector, over all processes, in one round trip; none where nothing limits it. Closed when the cache cannot be
 * reached: an action that is a few seconds late harms nobody, and a vendor shuts out whoever goes on after its limit.
 */
export async function takeTurn(deps: RateDeps, connector: string, limits: readonly RateLimit[]): Promise<Turn> {
  if (limits.length === 0) return { kind: 'go', waitMs: 0 }
  try {
    const [verdict] = await deps.cache.take([{ limits, waitMsMax: inHandMsMax }])
    if (verdict === undefined) return back(blindMs, `waiting: the rate of ${connector} is not known`)
    const waitMs = verdict.waitMs + verdict.retryAfterMs
    if (waitMs > 0) deps.onRateWait?.(connector, waitMs)
    if (verdict.allowed) return { kind: 'go', waitMs }
    const limit = limits.find(({ key }) => key === verdict.boundBy)
    return back(waitMs, `waiting: ${connector} is at its rate${limit ? ` (${limit.key.split(':').at(-1)})` : ''}`)
  } catch (error) {
    if (!isGuildError(error) || !error.retryable) throw error
    deps.log.warn({ connector, reason: reasonOf(error) }, 'the cache cannot be reached, so nothing is sent')
    return back(blindMs, `waiting: the rate of ${connector} cannot be looked up`)
  }
}

function back(waitMs: number, reason: string): Turn {
  return { kind: 'back', waitMs, reason }
}
