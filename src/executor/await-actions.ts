import { recordDecisions } from '../audit/decisions.ts'
import { canonicalHash } from '../kernel/canonical.ts'
import { durationMs } from '../kernel/duration.ts'
import type { ActionOutcome } from './action-intake.ts'
import type { Halt } from './ending.ts'
import type { Run } from './run-context.ts'
import { read, type Step, storable, type ToolResponse } from './step.ts'

/** Less than this is no time to wait in; rounding leaves a millisecond or two. */
const leastWaitMs = 10
const forPeople: ReadonlySet<string> = new Set(['PROPOSED', 'PARKED'])

/** Actions of this answer that are accepted and whose outcome the model is to be told: their steps stay open until it is known. */
export function awaitedSteps({ journal }: Run, seqs: readonly number[]): readonly Step[] {
  return seqs.flatMap((seq) =>
    journal.attemptsAt(seq).filter(({ kind, status }) => kind === 'action' && status === 'INTENT'),
  )
}

/**
 * `await: true`: puts the run down, without lease or memory, until every action it waits for is over; then their outcomes are what the
 * model is told. The look at the actions and the letting go are one transaction, so an action that ends at that moment is either seen
 * here, or finds the run suspended and wakes it. Time spent waiting counts against `limits.maxWait`; after that the model is told how
 * things stand, and the run goes on.
 */
export async function awaitActions(run: Run, steps: readonly Step[]): Promise<Halt | null> {
  const { journal, deps, agent } = run
  const ids = steps.flatMap((step) => read.tool(step).actionId ?? [])
  const leftMs = durationMs(agent.manifest.spec.limits.maxWait) - journal.invocation.waited_ms
  const halts: Halt[] = []
  await journal.transact(async (tx) => {
    halts.length = 0
    const outcomes = new Map((await deps.intake.outcomes(tx, ids)).map((outcome) => [outcome.id, outcome]))
    const open = [...outcomes.values()].filter(({ over }) => !over)
    if (open.length === 0 || leftMs < leastWaitMs) {
      return { steps: steps.map((step) => settled(run, step, outcomes.get(read.tool(step).actionId ?? '') ?? null)) }
    }
    const state = open.some((one) => forPeople.has(one.state)) ? 'WAITING_APPROVAL' : 'WAITING_ACTION'
    const detail = `waits for ${open.map(({ id, state: at }) => `${id} (${at})`).join(', ')}`
    const { id, event_id, agent_id, codex_commit } = journal.invocation
    const decision = { at: journal.at, stage: 'run', outcome: state, reason: detail } as const
    await recordDecisions(tx, [{ ...decision, event_id, agent_id, invocation_id: id, codex_commit }])
    halts.push({ kind: 'suspended', state })
    return { row: { state, detail, wait_ms: leftMs } }
  })
  return halts[0] ?? null
}

/** The outcome in the place of the receipt. */
function settled({ journal, agent }: Run, step: Step, outcome: ActionOutcome | null): Step {
  const receipt = read.tool(step)
  const { maxWait } = agent.manifest.spec.limits
  const text = outcome?.over
    ? {
        status: outcome.state.toLowerCase(),
        action_id: outcome.id,
        url: outcome.remote_url,
        remote_id: outcome.remote_id,
        reason: outcome.reason,
      }
    : {
        status: 'pending',
        action_id: receipt.actionId,
        state: outcome?.state ?? 'unknown',
        reason: `it is not over, and this run may wait no longer than ${maxWait}; it may still happen`,
      }
  const failed = outcome?.over === true && !succeeded.has(outcome.state)
  const response: ToolResponse = {
    ...receipt,
    isError: failed,
    text: JSON.stringify(text),
    resultHash: canonicalHash({ status: text.status, reason: (text.reason ?? '').toWellFormed() }),
    errorClass: failed ? `${outcome.state} ${step.name}: ${outcome.reason ?? ''}`.slice(0, 120) : null,
  }
  return { ...step, status: 'DONE', response: storable(response), finished_at: journal.at }
}

/** Shadow mode is no failure: that nothing was sent is said in the reason. */
const succeeded: ReadonlySet<string> = new Set(['SUCCEEDED', 'SHADOWED'])
