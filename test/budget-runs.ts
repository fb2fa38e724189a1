import type { BudgetLimit } from '../src/ledger/ledger.ts'
import type { BenchSetup } from './executor-bench.ts'

/** Fifty runs of one organisation, whose budget holds ten calls and no eleventh. */
export const runsOfAll = 50
export const callsInBudget = 10
const outputMax = 10_000
/** The input of a call is well below a thousand bytes, so ten calls take between 100 000 and this, and eleven more. */
const budget = outputMax * callsInBudget + outputMax - 1

export const setup: BenchSetup = {
  spec: {
    model: { prefer: ['a/one'], maxOutputTokensPerCall: outputMax },
    limits: { landingReserve: 0, tokensPerInvocation: 1_000_000, costPerInvocation: 10, maxToolCalls: 0 },
  },
}

export const acme: BudgetLimit = {
  entityType: 'organization',
  entityId: 'acme',
  kind: 'month',
  tokens: budget,
  costMicros: null,
}
