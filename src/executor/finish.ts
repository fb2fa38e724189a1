import { auditMessage } from '../audit/audit.ts'
import { standardRedactor, withheldStub } from '../guards/privacy/redact.ts'
import type { LlmMessage } from '../llm/llm.ts'
import type { DeadLetter } from '../bus/bus.ts'
import type { CompiledAgent } from '../codex/snapshot.ts'
import { reasonOf } from '../kernel/errors.ts'
import { durationMs } from '../kernel/duration.ts'
import type { GuildEvent } from '../kernel/event.ts'
import { hashId } from '../kernel/ids.ts'
import type { JsonObject } from '../kernel/json.ts'
import { agentTopic, topics } from '../kernel/topics.ts'
import { releaseAdmission } from './admission.ts'
import type { ExecutorDeps } from './executor-deps.ts'
import type { Ending } from './ending.ts'
import { forgetJournal } from './forget-journal.ts'
import type { Journal } from './journal.ts'
import { runSpans } from './run-spans.ts'
import { type Guarded, guardRun, learnJournal } from './run-guard.ts'
import { aStep, read, type Step } from './step.ts'
import { systemText, transcript } from './transcript.ts'
import { lastFinish, turnsOf } from './turns.ts'

type FinishDeps = TranscriptDeps & Pick<ExecutorDeps, 'outbox' | 'artifacts' | 'log' | 'tracer'>

type TranscriptDeps = Pick<ExecutorDeps, 'artifacts' | 'log' | 'codex' | 'redactor'>

/** Readers of the file check it; it changes when a field loses its meaning. */
export const transcriptFormat = 'guild/transcript/1'
const summaryLengthMax = 4_000
export const executorGroup = 'executor'

/**
 * 6. Terminate: one transaction with the last step, the run's result, its decision and its audit entry, then the transcript to the
 * artifacts. Only the worker whose epoch finished the run gets to write that file, so one that thaws late replaces nothing; a crash in
 * between is mended by the next delivery of the message (`restore-transcript.ts`).
 * @param agent null: the Codex could not be read
 * @param guarded what has guarded the run, where there is one
 * @returns false: the store refused the transcript; the message is to come back
 */
export async function finish(
  deps: FinishDeps,
  journal: Journal,
  event: GuildEvent,
  agent: CompiledAgent | null,
  given: Ending,
  guarded: Guarded | null = null,
): Promise<boolean> {
  const { invocation } = journal
  // It goes to a row, an audit entry, a dead letter and a file, and may quote an error of any kind.
  const redactor = deps.redactor ?? standardRedactor
  const ending = { ...given, detail: redactor.storedText(given.detail), summary: redactor.storedText(given.summary) }
  const summary = ending.summary.slice(0, summaryLengthMax).toWellFormed()
  const seq = Math.max(-1, ...journal.all.map((step) => step.seq)) + 1
  const transcriptRef = transcriptPath(deps, journal, agent)
  const { state, reason, detail, output } = ending
  const { journal: keep = '30d' } = retentionOf(deps, journal, agent) ?? {}
  const forgotten = transcriptRef === null
  // What is still held would be written behind what forgets it.
  if (forgotten) await journal.flush()
  // In the transaction that makes it true, and in no other.
  journal.note({
    stage: 'run',
    outcome: state,
    reason: reason === null ? detail : `${reason}: ${detail}`,
    detail: { transcript_ref: transcriptRef },
  })
  await journal.transact(async (tx) => {
    if (forgotten) await forgetJournal(tx, invocation.id)
    await releaseAdmission(tx, deps, journal, agent, state)
    if (state === 'DEAD') await deps.outbox.add(tx, topics.dead, [deadMessage(journal, detail)])
    const entry = auditMessage(auditEntry(journal, { ...ending, summary }, transcriptRef))
    return {
      beside: (same) => deps.outbox.add(same, topics.audit, [entry]),
      steps: [finishStep(journal, seq, ending)],
      row: {
        state,
        reason,
        detail,
        summary,
        output,
        transcript_ref: transcriptRef,
        ...(forgotten ? { forgotten } : { journal_ms: durationMs(keep) }),
      },
    }
  })
  if (deps.tracer?.on) deps.tracer.record(runSpans(journal, event, ending, deps.tracer.since))
  deps.log.info(
    {
      invocationId: invocation.id,
      agentId: invocation.agent_id,
      eventId: event.id,
      traceId: invocation.trace_id,
      state,
      reason,
    },
    'run finished',
  )
  return transcriptRef === null || writeTranscript(deps, journal, event, agent, { ...ending, summary }, guarded)
}

function finishStep(journal: Journal, seq: number, { state, reason, detail }: Ending): Step {
  const response = { reason, detail }
  return aStep({ seq, attempt: 1, kind: 'finish', name: state, status: 'DONE', started_at: journal.at, response })
}

/** What a run did, told from its journal, for when no model may be asked any more. */
export function templateSummary(journal: Journal, why: string): string {
  const turns = turnsOf(journal)
  const reads = journal.done.filter((step) => step.kind === 'tool_read').length
  const accepted = journal.done.filter((step) => step.kind === 'action' && read.tool(step).accepted)
  const last = turns.findLast((turn) => turn.response.text.trim() !== '')?.response.text.trim()
  return [
    `The run ended early: ${why}.`,
    `Until then: ${turns.length} answers, ${reads} reads, ${accepted.length} actions accepted${accepted.length > 0 ? ` (${accepted.map((step) => step.name).join(', ')})` : ''}.`,
    ...(last ? [`The last answer was: ${last}`] : []),
  ].join('\n')
}

/** A run whose Codex cannot be read, or that died over and over, ends without its manifest: then today's says what may be kept. */
function retentionOf(
  { codex }: Pick<FinishDeps, 'codex'>,
  { invocation }: Pick<Journal, 'invocation'>,
  agent: CompiledAgent | null,
) {
  return (agent ?? codex.current().agents.get(invocation.agent_id))?.manifest.spec.retention
}

/** @returns null: kept nowhere, by the manifest */
function transcriptPath(
  { codex }: Pick<FinishDeps, 'codex'>,
  { invocation }: Journal,
  agent: CompiledAgent | null,
): string | null {
  const retention = retentionOf({ codex }, { invocation }, agent)
  if (retention && durationMs(retention.transcript) === 0) return null
  return `logs/${invocation.queued_at.toISOString().slice(0, 10)}/${invocation.id}.json`
}

/** From the journal of a run that is over: the same file whoever writes it. @returns false: the store refused it */
export async function writeTranscript(
  deps: TranscriptDeps,
  journal: Journal,
  event: GuildEvent,
  agent: CompiledAgent | null,
  ending: Ending,
  guarded: Guarded | null = null,
): Promise<boolean> {
  const { artifacts, log } = deps
  const { invocation } = journal
  const path = transcriptPath(deps, journal, agent)
  if (path === null) return true
  const redactor = deps.redactor ?? standardRedactor
  // A log too: what the model saw, not what was behind the placeholders; nothing where the guard fails.
  const messages = agent ? await seenMessages(deps, journal, event, agent, guarded) : []
  const content = {
    format: transcriptFormat,
    invocation: { ...invocation, queued_at: invocation.queued_at.toISOString() },
    event: redactor.stored(eventFacts(event), null),
    ending: {
      ...ending,
      detail: redactor.storedText(ending.detail),
      summary: redactor.storedText(ending.summary),
      output: redactor.stored(ending.output, null),
    },
    system: agent ? redactor.storedText(systemText(agent)) : null,
    messages,
    steps: journal.all,
  }
  try {
    await artifacts.write(path, JSON.stringify(content))
    return true
  } catch (error) {
    log.error({ invocationId: invocation.id, path, why: reasonOf(error) }, 'transcript not kept yet')
    return false
  }
}

async function seenMessages(
  deps: TranscriptDeps,
  journal: Journal,
  event: GuildEvent,
  agent: CompiledAgent,
  before: Guarded | null,
): Promise<readonly LlmMessage[]> {
  const nobody = { choice: { provider: '', model: '' }, steer: null, closing: null, trim: 0 }
  const withheld: readonly LlmMessage[] = [{ role: 'user', text: withheldStub }]
  try {
    // The run's own guard has looked at all of this; anew where the rules have changed since.
    const isCurrent = before !== null && before.serving === deps.codex.current().privacy
    const guarded = isCurrent
      ? before
      : guardRun(deps, journal, event, await deps.codex.at(journal.invocation.codex_commit), agent)
    if (guarded.kind !== 'guarded') return withheld
    learnJournal(journal, guarded)
    return guarded.privacy.messages(transcript(journal, guarded.event, agent, nobody))
  } catch {
    return withheld // why the guard failed stands on the run
  }
}

function eventFacts({ id, type, source, metadata }: GuildEvent): JsonObject {
  const { subject, actor, occurred_at, received_at, delivery_id } = metadata
  const { kind, integrity } = actor
  return {
    id,
    type,
    source,
    subject: { ...subject },
    actor: { kind, id: actor.id, integrity },
    occurred_at,
    received_at,
    delivery_id,
  }
}

function auditEntry(journal: Journal, ending: Ending, transcriptRef: string | null) {
  const { id, agent_id, agent_version, event_id, trace_id, codex_commit, attempts } = journal.invocation
  const turns = turnsOf(journal)
  const ended = lastFinish(journal)
  const last = turns.at(-1)?.response
  const usage = journal.all.flatMap((step) => read.modelUsage(step) ?? [])
  const payload: JsonObject = {
    state: ending.state,
    reason: ending.reason,
    agent_version,
    attempts,
    provider: last?.provider ?? null,
    model: last?.model ?? null,
    model_calls: turns.length,
    actions: journal.done.flatMap((step) => (step.kind === 'action' ? [read.tool(step).actionId] : [])),
    input_tokens: usage.reduce((sum, u) => sum + u.inputNocache + u.inputCacheRead + u.inputCacheWrite, 0),
    output_tokens: usage.reduce((sum, u) => sum + u.outputText + u.outputReasoning, 0),
    cost_micros: usage.reduce((sum, u) => sum + u.costMicros, 0),
    transcript_ref: transcriptRef,
  }
  const failed = ending.state === 'FAILED' || ending.state === 'DEAD'
  return {
    // A run that a grant has set going again ends again, which is an entry of its own.
    id: ended < 0 ? hashId('aud', 'AGENT_INVOCATION', id) : hashId('aud', 'AGENT_INVOCATION', id, ended),
    timestamp: journal.at,
    event_type: 'AGENT_INVOCATION',
    agent_id,
    source_event_id: event_id,
    payload,
    result: failed ? ('FAILURE' as const) : ending.state === 'COMPLETED' ? ('SUCCESS' as const) : null,
    error_message: failed ? ending.detail : null,
    trace_id,
    invocation_id: id,
    actor: `agent:${agent_id}`,
    codex_commit,
  }
}

function deadMessage(journal: Journal, reason: string) {
  const { id, agent_id, attempts, event_id } = journal.invocation
  const body: DeadLetter = {
    topic: agentTopic(agent_id),
    group: executorGroup,
    id,
    reason,
    attempts,
    body: { invocation_id: id, event_id, journal: `/api/v1/invocations/${id}` },
  }
  return { id: hashId('msg', 'dead', id), body }
}
