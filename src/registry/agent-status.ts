/** What the records say about an agent; see `agentStatus`. */
export interface AgentFacts {
  /** set: it is no longer in the Codex */
  readonly removedAt: Date | null
  /** unmet `requires` of the serving commit */
  readonly unmet: readonly string[]
  /** a lint that somebody has accepted, and until when */
  readonly waiver: { readonly rule: string; readonly until: string } | null
  readonly lastInvocation: Date | null
  /** FAILED or DEAD runs within `health.window` */
  readonly failures: number
  readonly lastFailure: Date | null
  /** the last run that ended in any other way */
  readonly lastSuccess: Date | null
  readonly health: { readonly failureThreshold: number; readonly windowMs: number; readonly halfOpenAfterMs: number }
}

export interface AgentStatus {
  readonly status: 'ACTIVE' | 'DORMANT' | 'DEGRADED'
  /** why it is DEGRADED or gone; else null */
  readonly reason: string | null
  /** degraded by failures, and long enough ago that its next run may show whether it is well again */
  readonly halfOpen: boolean
}

const dayMs = 24 * 3_600_000

/**
 * DEGRADED: an unmet requirement, an expired waiver, or as many failed runs within the window as the manifest allows, until a run succeeds or the window
 * has passed. ACTIVE: woken within 24 hours. Else DORMANT. Pure.
 */
export function agentStatus(facts: AgentFacts, now: Date): AgentStatus {
  if (facts.removedAt) return { status: 'DORMANT', reason: 'it is no longer in the Codex', halfOpen: false }
  if (facts.unmet.length > 0) return { status: 'DEGRADED', reason: facts.unmet.join('; '), halfOpen: false }
  const { waiver } = facts
  if (waiver && new Date(waiver.until) <= now) {
    const reason = `its waiver (${waiver.rule}) has expired: what it writes needs an approval`
    return { status: 'DEGRADED', reason, halfOpen: false }
  }
  const { failures, lastFailure, lastSuccess, health } = facts
  const recovered = lastFailure !== null && lastSuccess !== null && lastSuccess > lastFailure
  if (lastFailure !== null && failures >= health.failureThreshold && !recovered) {
    const probeAt = new Date(lastFailure.getTime() + health.halfOpenAfterMs)
    const halfOpen = now >= probeAt
    const next = halfOpen
      ? 'its next run shows whether it is well again'
      : `it is given a pause until ${probeAt.toISOString()}`
    return {
      status: 'DEGRADED',
      reason: `${failures} runs failed within ${spoken(health.windowMs)}; ${next}`,
      halfOpen,
    }
  }
  const woken = facts.lastInvocation !== null && now.getTime() - facts.lastInvocation.getTime() < dayMs
  return { status: woken ? 'ACTIVE' : 'DORMANT', reason: null, halfOpen: false }
}

function spoken(ms: number): string {
  if (ms % 3_600_000 === 0) return `${ms / 3_600_000} h`
  return ms % 60_000 === 0 ? `${ms / 60_000} min` : `${ms / 1_000} s`
}
