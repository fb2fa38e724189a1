import type { ActionGrant } from '../codex/kinds.ts'
import type { BusMessage } from '../bus/bus.ts'
import type { GuildEvent } from '../kernel/event.ts'
import { hashId } from '../kernel/ids.ts'
import { topics } from '../kernel/topics.ts'
import { canonicalHash } from '../kernel/canonical.ts'
import type { LlmToolCall } from '../llm/llm.ts'
import type { ActionReceipt } from './action-intake.ts'
import { isInForce } from './degrade.ts'
import { free, integrityBefore, type Run } from './run-context.ts'
import { confidentialityBefore, learnJournal } from './run-guard.ts'
import { aStep, read, type Step, storable, type ToolResponse } from './step.ts'
import type { Turn } from './turns.ts'

export interface ActionCall {
  readonly seq: number
  readonly index: number
  readonly call: LlmToolCall & { readonly leaks?: readonly string[] | undefined }
  readonly grant: ActionGrant
}

/** A receipt of one of these counts towards `max` of the grant. */
const accepted: ReadonlySet<ActionReceipt['status']> = new Set(['queued', 'shadow', 'held', 'needs_approval'])

/**
 * 5. Publish actions: every write the model asked for in one answer, proposed and journaled in one transaction together with the
 * other results of that answer. The key of an action is where it stands in the run, so proposing twice is proposing once; what the
 * model gets back is the receipt, which is true and not promised.
 */
export async function publishActions(
  run: Run,
  turn: Turn,
  calls: readonly ActionCall[],
  others: readonly Step[],
  handoffs: readonly GuildEvent[] = [],
): Promise<void> {
  const { journal, deps } = run
  const integrity = integrityBefore(run, turn.step.seq)
  const confidentiality = confidentialityBefore(run, turn.step.seq)
  learnJournal(run.journal, run)
  // What a model proposes was reserved for, which told the level; rules reserve nothing.
  if (free(turn.request.provider)) await run.budget.look(run)
  const ask = isInForce(run, 'ask')
  await journal.transact(async (tx) => {
    const steps: Step[] = []
    for (const { seq, index, call, grant } of calls) {
      const used = [...journal.all, ...steps].filter(
        (step) => step.kind === 'action' && step.name === grant.type && read.tool(step).accepted,
      )
      const receipt = await deps.intake.propose(tx, {
        ...origin(run),
        actionKey: hashId('act', journal.invocation.id, turn.step.seq, index),
        type: grant.type,
        args: call.args,
        grant: { ...grant, autonomy: Math.min(grant.autonomy, ask ? 1 : 3, journal.invocation.handoff?.autonomy ?? 3) },
        usedInRun: used.length,
        integrity,
        confidentiality,
        leaks: call.leaks ?? [],
        restore: (value, mayPass) => run.privacy.restore(value, mayPass),
        provider: turn.response.provider,
        model: turn.response.model,
        at: deps.clock.now(),
      })
      steps.push(actionStep(run, seq, call, grant.await, receipt))
    }
    if (handoffs.length > 0) await deps.outbox.add(tx, topics.inbound, handoffs.map(inboundMessage))
    const actions = steps.filter((step) => read.tool(step).accepted).length
    return { steps: [...others, ...steps], row: { tool_calls: others.length + steps.length, actions } }
  })
}

function inboundMessage(event: GuildEvent): BusMessage {
  return { id: event.id, priority: event.metadata.priority, body: event }
}

function origin({ journal, event, agent, snapshot, chapter }: Run) {
  const { id, priority, causal_root, causal_depth } = journal.invocation
  return {
    invocationId: id,
    event,
    agent,
    snapshot,
    chapter,
    priority,
    causalRoot: causal_root,
    causalDepth: causal_depth,
  }
}

function actionStep({ journal }: Run, seq: number, call: LlmToolCall, waits: boolean, receipt: ActionReceipt): Step {
  const { status, actionId, reason } = receipt
  const text = JSON.stringify({ status, ...(actionId !== null && { action_id: actionId }), reason })
  const refusedBy = status === 'denied' ? `denied ${call.name}: ${reason}`.slice(0, 120) : null
  const response: ToolResponse = {
    isError: status === 'denied',
    text,
    integrity: 'verified',
    // Ids differ each time; what came of it may be the same.
    resultHash: canonicalHash({ status, reason: reason.toWellFormed() }),
    steadyHash: null,
    errorClass: refusedBy,
    repeated: status === 'duplicate',
    actionId,
    accepted: accepted.has(status),
  }
  const args = storable(call.args)
  return aStep({
    seq,
    attempt: journal.nextAttempt(seq),
    kind: 'action',
    name: call.name,
    // What the model waits for is answered by its outcome (`await-actions.ts`).
    status: waits && response.accepted ? 'INTENT' : 'DONE',
    request: { type: call.name, args },
    request_hash: canonicalHash({ name: call.name, args }),
    response: storable(response),
    started_at: journal.at,
  })
}
