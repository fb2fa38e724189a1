import { expect, it } from 'vitest'
import { type AgentFacts, agentStatus } from './agent-status.ts'

const now = new Date('2026-11-22T10:00:00Z')
const facts: AgentFacts = {
  removedAt: null,
  unmet: [],
  waiver: null,
  lastInvocation: null,
  failures: 0,
  lastFailure: null,
  lastSuccess: null,
  health: { failureThreshold: 3, windowMs: 600_000, halfOpenAfterMs: 60_000 },
}

it.each<readonly [string, Partial<AgentFacts>, string, string | null, boolean]>([
  ['never woken', {}, 'DORMANT', null, false],
  ['woken today', { lastInvocation: ago(3_600) }, 'ACTIVE', null, false],
  ['woken yesterday', { lastInvocation: ago(86_400) }, 'DORMANT', null, false],
  ['lacking what it requires', { unmet: ['a', 'b'], lastInvocation: ago(1) }, 'DEGRADED', 'a; b', false],
  ['failing below the threshold', { failures: 2, lastFailure: ago(1), lastInvocation: ago(2) }, 'ACTIVE', null, false],
  [
    'failing at the threshold',
    { failures: 3, lastFailure: ago(59) },
    'DEGRADED',
    '3 runs failed within 10 min; it is given a pause until 2026-11-22T10:00:01.000Z',
    false,
  ],
  [
    'failing, after the pause',
    { failures: 3, lastFailure: ago(60), lastSuccess: ago(90) },
    'DEGRADED',
    '3 runs failed within 10 min; its next run shows whether it is well again',
    true,
  ],
  [
    'well again after a probe',
    { failures: 3, lastFailure: ago(60), lastSuccess: ago(10), lastInvocation: ago(20) },
    'ACTIVE',
    null,
    false,
  ],
  [
    'gone',
    { removedAt: ago(1), unmet: ['a'], lastInvocation: ago(1) },
    'DORMANT',
    'it is no longer in the Codex',
    false,
  ],
])('an agent %s', (_what, over, status, reason, halfOpen) => {
  expect(agentStatus({ ...facts, ...over }, now)).toEqual({ status, reason, halfOpen })
})

function ago(seconds: number): Date {
  return new Date(now.getTime() - seconds * 1_000)
}
