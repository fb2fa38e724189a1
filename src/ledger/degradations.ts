import { type Degradation, type PolicyFile, degradations as order } from '../codex/kinds.ts'
import type { Priority } from '../kernel/event.ts'
import { type BudgetLevel, levelNames, type Standing } from './ledger.ts'

/** One thing that a policy has taken away, and which policy. */
export interface InForce {
  readonly name: Degradation
  readonly rule: string
}

type Policies = readonly Pick<PolicyFile, 'metadata' | 'spec'>[]
const named = ['yellow', 'orange', 'red'] as const

/** What is in force at a level: all that the policies name up to it. `spent` is as `red`. */
export function degradationsAt(policies: Policies, level: BudgetLevel): readonly InForce[] {
  const reached = named.filter((name) => levelNames.indexOf(name) <= levelNames.indexOf(level))
  return order.flatMap((name): InForce[] => {
    const policy = policies.find(({ spec }) => reached.some((one) => spec.degradations[one].includes(name)))
    return policy ? [{ name, rule: `policy ${policy.metadata.name}` }] : []
  })
}

/** What an alert at each threshold says is in force. */
export function degradationsByThreshold(policies: Policies): Readonly<Record<75 | 90 | 95, readonly Degradation[]>> {
  const names = (level: BudgetLevel) => degradationsAt(policies, level).map(({ name }) => name)
  return { 75: names('yellow'), 90: names('orange'), 95: names('red') }
}

/** The worst level at which nothing more is in force than at this one: a call made for it need not be made anew before that. */
export function madeFor(policies: Policies, level: BudgetLevel): BudgetLevel {
  const count = degradationsAt(policies, level).length
  return levelNames.findLast((other) => degradationsAt(policies, other).length === count) ?? level
}

export type Admission =
  { readonly kind: 'start' } | { readonly kind: 'wait'; readonly rule: string; readonly reason: string }

/**
 * May a run of this priority start at this level? BACKGROUND waits under `no-background`, all but CRITICAL and HIGH under `only-high`.
 * Whoever asks decides whether waiting means later or OVER_BUDGET.
 */
export function admissionAt(policies: Policies, standing: Standing, priority: Priority): Admission {
  const inForce = degradationsAt(policies, standing.level)
  const high = priority === 'CRITICAL' || priority === 'HIGH'
  const stop = inForce.find(
    ({ name }) => (name === 'only-high' && !high) || (name === 'no-background' && priority === 'BACKGROUND'),
  )
  if (!stop) return { kind: 'start' }
  const who = stop.name === 'only-high' ? 'only CRITICAL and HIGH runs start' : 'no BACKGROUND run starts'
  return { kind: 'wait', rule: stop.rule, reason: `${standingText(standing)}: ${who} (${stop.rule})` }
}

/** `the month budget of chapter payments is at orange` */
export function standingText({ level, limit }: Standing): string {
  return limit
    ? `the ${limit.kind} budget of ${limit.entityType} ${limit.entityId} is at ${level}`
    : `budgets are at ${level}`
}
