import { z } from 'zod'
import { handoffTool, receiverOf } from '../codex/handoff.ts'
import type { CompiledAgent } from '../codex/snapshot.ts'
import { statements } from '../database/statements.ts'
import { canonicalHash } from '../kernel/canonical.ts'
import type { GuildEvent, Handoff } from '../kernel/event.ts'
import { hashId } from '../kernel/ids.ts'
import type { LlmTool, LlmToolCall } from '../llm/llm.ts'
import { free, integrityBefore, type Run, spentBy } from './run-context.ts'
import { confidentialityBefore, mayRead } from './run-guard.ts'
import { limitsOf } from './run-limits.ts'
import { aStep, type Step, storable, type ToolResponse } from './step.ts'

const sql = statements(import.meta.url, './hand-off.sql', ['resting'])

const request = z.strictObject({
  to: z.string().min(1).max(100),
  task: z.string().trim().min(1).max(4_000),
  why: z.string().trim().min(1).max(1_000),
})

/** What the giver left to the receiver, as the journal keeps it: several hand-offs of one run share what is left. */
const given = z.object({ given: z.object({ tokens: z.number(), costMicros: z.number() }).nullable() })

export interface HandoffCall {
  readonly seq: number
  readonly call: LlmToolCall & { readonly leaks?: readonly string[] | undefined }
}

export interface HandedOff {
  readonly step: Step
  /** null: refused, and the model is told why */
  readonly event: GuildEvent | null
}

/** null: this agent hands nothing on, or stands too deep in a row of hand-offs to do so. */
export function handoffOffer(run: Run): LlmTool | null {
  const { handoff } = run.agent.manifest.spec
  if (!handoff || depthOf(run) >= handoff.maxDepth) return null
  return {
    name: handoffTool,
    description: `Hands a part of the work to another agent (${handoff.to.join(', ')}), which does it in a run of its own, later, with a share of what is left of this run's budget. You get a receipt, not its result.`,
    inputSchema: {
      type: 'object',
      additionalProperties: false,
      required: ['to', 'task', 'why'],
      properties: {
        to: { type: 'string', enum: handoff.to },
        task: { type: 'string', maxLength: 4_000, description: 'what it should do, with all it needs to know' },
        why: { type: 'string', maxLength: 1_000, description: 'why it and not you' },
      },
    },
  }
}

/**
 * A hand-off never runs the other agent here: it is one event, in the transaction that journals it, which the dispatcher admits like any
 * other. Its id is where it stands in the run, so handing off twice is handing off once. Everything about it only narrows: budget, depth,
 * autonomy, and the trust in what was read.
 */
export async function handOff(run: Run, { seq, call }: HandoffCall, before: readonly Step[]): Promise<HandedOff> {
  const parsed = request.safeParse(call.args)
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    return refused(run, seq, call, `${issue?.path.join('.') || 'the arguments'}: ${issue?.message ?? 'not valid'}`)
  }
  const { to } = parsed.data
  const task = run.privacy.redactor.storedText(parsed.data.task)
  const why = run.privacy.redactor.storedText(parsed.data.why)
  const receiver = receiverOf(run.deps.codex.current(), to, run.chapter)
  const problem = receiver ? await problemOf(run, seq, to, receiver, call.leaks ?? []) : `there is no agent ${to}`
  if (problem !== null || !receiver) return refused(run, seq, call, problem ?? '')
  const share = shareOf(run, before)
  const needed = free(receiver.manifest.spec.model.prefer[0] ?? '')
    ? 0
    : receiver.manifest.spec.model.maxOutputTokensPerCall
  if (share.tokens < Math.max(1, needed)) {
    return refused(
      run,
      seq,
      call,
      `its share of what is left (${share.tokens} tokens) is too small for one call of ${receiver.id}`,
    )
  }
  const { invocation } = run.journal
  const handoff: Handoff = {
    to: receiver.id,
    from: run.agent.id,
    depth: depthOf(run) + 1,
    autonomy: autonomyOf(run, seq),
    confidentiality: confidentialityBefore(run, seq),
    tokens: share.tokens,
    cost_micros: share.costMicros,
  }
  const event = eventOf(run, seq, handoff, { task, why })
  const reason = `handed to ${receiver.id} with ${share.tokens} tokens at most: ${why}`
  run.journal.note({
    stage: 'admission',
    outcome: 'HANDED_OFF',
    rule: `${run.agent.place.file}#handoff`,
    reason,
    detail: { event_id: event.id, to: receiver.id, depth: handoff.depth, tokens: share.tokens, run: invocation.id },
  })
  const receipt = {
    status: 'queued',
    event_id: event.id,
    to: receiver.id,
    reason: 'it is admitted when its turn comes',
  }
  return { step: stepOf(run, seq, call, receipt, share), event }
}

async function problemOf(
  run: Run,
  seq: number,
  to: string,
  receiver: CompiledAgent,
  leaks: readonly string[],
): Promise<string | null> {
  const { handoff } = run.agent.manifest.spec
  if (!handoff?.to.includes(to))
    return `${to} is not among those this agent hands on to: ${handoff?.to.join(', ') ?? ''}`
  if (receiver.id === run.agent.id) return 'an agent hands nothing to itself'
  if (depthOf(run) >= handoff.maxDepth)
    return `this run is ${depthOf(run)} hand-offs deep, and ${handoff.maxDepth} are allowed`
  if (leaks.length > 0) return `the arguments held a secret (${leaks.join(', ')})`
  if (receiver.unmet.length > 0) return `${receiver.id} is degraded: ${receiver.unmet.join('; ')}`
  const confidentiality = confidentialityBefore(run, seq)
  if (!mayRead(receiver, confidentiality)) {
    return `this run has read ${confidentiality} data, which ${receiver.id} does not read`
  }
  const { maxDepth } = receiver.manifest.spec.limits.causal
  const depth = run.journal.invocation.causal_depth + 1
  if (depth > maxDepth) return `${receiver.id} may act on causes up to ${maxDepth} deep, this would be ${depth} deep`
  const { rows } = await run.deps.database.query<{ retry_at: Date }>(sql.resting, [receiver.id])
  const [resting] = rows
  return resting ? `${receiver.id} is degraded by failures and rests until ${resting.retry_at.toISOString()}` : null
}

/** `budgetShare` of what is left after the landing reserve and what was given away before. */
function shareOf(run: Run, before: readonly Step[]): { readonly tokens: number; readonly costMicros: number } {
  const limits = limitsOf(run)
  const spent = spentBy(run)
  const away = [...run.journal.done, ...before].flatMap((step) =>
    step.kind === 'handoff' ? (given.parse(step.request).given ?? []) : [],
  )
  const share = run.agent.manifest.spec.handoff?.budgetShare ?? 0
  const tokens = limits.tokens - limits.landingReserve - spent.tokens - away.reduce((sum, one) => sum + one.tokens, 0)
  const cost = limits.costMicros - spent.costMicros - away.reduce((sum, one) => sum + one.costMicros, 0)
  return { tokens: Math.floor(Math.max(0, tokens) * share), costMicros: Math.floor(Math.max(0, cost) * share) }
}

function depthOf({ journal }: Run): number {
  return journal.invocation.handoff?.depth ?? 0
}

/** The ceiling of the giver holds for the receiver too: nobody gains by asking another. */
function autonomyOf(run: Run, seq: number): number {
  const own = run.journal.invocation.handoff?.autonomy ?? 3
  const integrity = integrityBefore(run, seq)
  const tainted = integrity === 'outsider' || integrity === 'public'
  return tainted ? Math.min(own, run.agent.manifest.spec.trust.autonomyCeilingWhenTainted) : own
}

function eventOf(run: Run, seq: number, handoff: Handoff, what: { task: string; why: string }): GuildEvent {
  const { event, journal, agent } = run
  const { invocation, at } = journal
  const id = hashId('evt', 'guild', 'handoff', invocation.id, seq)
  return {
    id,
    timestamp: at,
    type: 'AGENT_HANDOFF',
    source: 'guild',
    payload: { ...event.payload, handoff: { ...what, from: agent.id, run: invocation.id } },
    metadata: {
      ...event.metadata,
      priority: invocation.priority,
      occurred_at: at,
      received_at: at,
      delivery_id: `${invocation.id}-${seq}`,
      receipt_id: hashId('rcv', id),
      dedup_key: `handoff:${invocation.id}:${seq}`,
      body_hash: null,
      // Its words are words of another agent: as trusted as the least trusted that one has read.
      actor: { kind: 'system', id: `agent:${agent.id}`, display: agent.id, integrity: integrityBefore(run, seq) },
      origin: 'handoff',
      self: false,
      marker: null,
      causal: { root: invocation.causal_root, depth: invocation.causal_depth + 1, parent: invocation.id },
      handoff,
    },
  }
}

function refused(run: Run, seq: number, call: LlmToolCall, reason: string): HandedOff {
  run.journal.note({
    stage: 'admission',
    outcome: 'HANDOFF_REFUSED',
    rule: `${run.agent.place.file}#handoff`,
    reason,
  })
  return { step: stepOf(run, seq, call, { status: 'denied', reason }, null), event: null }
}

function stepOf(
  { journal }: Run,
  seq: number,
  call: LlmToolCall,
  receipt: { readonly status: string; readonly reason: string },
  share: { readonly tokens: number; readonly costMicros: number } | null,
): Step {
  const denied = receipt.status === 'denied'
  const response: ToolResponse = {
    isError: denied,
    text: JSON.stringify(receipt),
    integrity: 'verified',
    resultHash: canonicalHash({ status: receipt.status, reason: receipt.reason.toWellFormed() }),
    steadyHash: null,
    errorClass: denied ? `denied ${handoffTool}: ${receipt.reason}`.slice(0, 120) : null,
    repeated: false,
    actionId: null,
    accepted: !denied,
  }
  const args = storable(call.args)
  return aStep({
    seq,
    attempt: journal.nextAttempt(seq),
    kind: 'handoff',
    name: handoffTool,
    status: 'DONE',
    request: { tool: handoffTool, args, given: share },
    request_hash: canonicalHash({ name: call.name, args }),
    response: storable(response),
    started_at: journal.at,
  })
}
