import type { GuildEvent } from '../kernel/event.ts'
import { genAi, guild, operations } from '../traces/attributes.ts'
import { dispatchSpan, receiveSpan } from '../traces/event-spans.ts'
import { spanIds } from '../traces/span-ids.ts'
import type { SpanRecord } from '../traces/tracer.ts'
import type { Ending } from './ending.ts'
import type { Invocation } from './invocation.ts'
import type { Journal } from './journal.ts'
import { read, type Step } from './step.ts'

/**
 * The spans of a run, told once when it is over and from its journal alone: whichever processes worked on it, they are all there. Of a
 * run that may have outlived the process that took its event in, those spans are told again too, with the same ids.
 * @param since when this process began
 */
export function runSpans(
  journal: Journal,
  event: GuildEvent,
  ending: Pick<Ending, 'state' | 'reason'>,
  since: Date,
): readonly SpanRecord[] {
  const { invocation } = journal
  const inherited = invocation.attempts > 1 || invocation.queued_at < since
  const steps = journal.all.filter((step) => step.status !== 'INTENT')
  return [
    ...(inherited ? eventSpans(invocation, event) : []),
    runSpan(invocation, steps, ending, Date.parse(journal.at)),
    ...steps.flatMap((step) => stepSpan(invocation, step) ?? []),
  ]
}

function eventSpans(invocation: Invocation, event: GuildEvent): readonly SpanRecord[] {
  const received = Date.parse(event.metadata.received_at)
  const { rule, codex_commit: codexCommit, queued_at } = invocation
  const told = { disposition: 'ROUTED', rule, codexCommit, retold: true } as const
  return [
    ...(event.metadata.origin === 'webhook' ? [receiveSpan(event, { endMs: received, retold: true })] : []),
    dispatchSpan(event, { startMs: received, endMs: queued_at.getTime(), ...told }),
  ]
}

function runSpan(
  invocation: Invocation,
  steps: readonly Step[],
  { state, reason }: Pick<Ending, 'state' | 'reason'>,
  endMs: number,
): SpanRecord {
  const queuedMs = invocation.queued_at.getTime()
  const startMs = Math.min(endMs, ...steps.map((step) => Date.parse(step.started_at)))
  const answer = steps.findLast((step) => step.kind === 'llm' && step.status === 'DONE')
  const usage = steps.flatMap((step) => read.modelUsage(step) ?? [])
  const total = (count: (one: (typeof usage)[number]) => number) => usage.reduce((sum, one) => sum + count(one), 0)
  return {
    traceId: invocation.trace_id,
    spanId: spanIds.run(invocation.id),
    parentId: spanIds.dispatch(invocation.event_id),
    name: `${operations.run} ${invocation.agent_id}`,
    kind: 'internal',
    startMs,
    endMs,
    attributes: {
      [genAi.operation]: operations.run,
      [genAi.agentId]: invocation.agent_id,
      [genAi.agentName]: invocation.agent_id,
      [genAi.agentVersion]: invocation.agent_version,
      [genAi.conversation]: invocation.id,
      [genAi.provider]: answer && read.modelResponse(answer).provider,
      [genAi.responseModel]: answer && read.modelResponse(answer).model,
      [genAi.inputTokens]: total((one) => one.inputNocache + one.inputCacheRead + one.inputCacheWrite),
      [genAi.outputTokens]: total((one) => one.outputText + one.outputReasoning),
      [guild.costMicros]: total((one) => one.costMicros),
      [guild.invocationId]: invocation.id,
      [guild.eventId]: invocation.event_id,
      [guild.rule]: invocation.rule,
      [guild.codexCommit]: invocation.codex_commit,
      [guild.causalRoot]: invocation.causal_root,
      [guild.causalDepth]: invocation.causal_depth,
      [guild.priority]: invocation.priority,
      [guild.attempt]: invocation.attempts,
      [guild.queuedMs]: Math.max(0, startMs - queuedMs),
      [guild.state]: state,
      [guild.reason]: reason,
    },
    error: state === 'COMPLETED' ? null : (reason ?? state),
  }
}

/** null: of that kind of step there is nothing to tell. */
function stepSpan(invocation: Invocation, step: Step): SpanRecord | null {
  const facts = factsOf(step)
  if (!facts) return null
  const { seq, attempt, started_at, finished_at } = step
  const startMs = Date.parse(started_at)
  return {
    traceId: invocation.trace_id,
    spanId: spanIds.step(invocation.id, seq, attempt),
    parentId: spanIds.run(invocation.id),
    kind: 'internal',
    startMs,
    endMs: finished_at === null ? startMs : Date.parse(finished_at),
    error: null,
    ...facts,
    attributes: {
      ...facts.attributes,
      [genAi.conversation]: invocation.id,
      [guild.invocationId]: invocation.id,
      [guild.stepSeq]: seq,
      [guild.attempt]: attempt,
    },
  }
}

type Facts = Pick<SpanRecord, 'name' | 'attributes'> & Partial<SpanRecord>

function factsOf(step: Step): Facts | null {
  switch (step.kind) {
    case 'llm':
      return modelFacts(step)
    case 'context':
      return contextFacts(step)
    case 'tool_read':
      return readFacts(step)
    case 'action':
      return actionFacts(step)
    default:
      return null
  }
}

function modelFacts(step: Step): Facts {
  const request = read.modelRequest(step)
  const response = step.status === 'DONE' ? read.modelResponse(step) : null
  const usage = read.modelUsage(step)
  const rules = request.provider === 'rules'
  return {
    // Rules are no model: nothing may look as if one had spoken.
    name: rules ? 'apply_rules' : `${operations.chat} ${request.model}`,
    kind: rules ? 'internal' : 'client',
    attributes: {
      ...(!rules && {
        [genAi.operation]: operations.chat,
        [genAi.provider]: request.provider,
        [genAi.requestModel]: request.model,
        [genAi.responseModel]: response?.model,
        [genAi.finishReasons]: response && [response.stop],
      }),
      ...(!rules &&
        usage && {
          [genAi.inputTokens]: usage.inputNocache + usage.inputCacheRead + usage.inputCacheWrite,
          [genAi.outputTokens]: usage.outputText + usage.outputReasoning,
          [genAi.cacheReadTokens]: usage.inputCacheRead,
          [genAi.cacheCreationTokens]: usage.inputCacheWrite,
          [genAi.reasoningTokens]: usage.outputReasoning,
          [guild.costMicros]: usage.costMicros,
          [guild.estimated]: usage.estimated,
          [guild.priceVersion]: request.price?.version,
        }),
    },
    error: step.status === 'DONE' ? null : (request.code ?? step.status),
  }
}

function contextFacts(step: Step): Facts | null {
  const { request } = step
  const tool = typeof request === 'object' && request !== null && 'tool' in request ? request.tool : null
  // A file of the Codex is at hand: there was nothing to wait for.
  if (typeof tool !== 'string') return null
  const response = step.status === 'DONE' ? read.context(step) : null
  return {
    ...toolFacts(tool),
    attributes: {
      ...toolFacts(tool).attributes,
      [guild.contextId]: step.name,
      [guild.contextOutcome]: response?.outcome,
      [guild.integrity]: response?.integrity,
    },
    error: step.status === 'DONE' ? (response?.outcome === 'unavailable' ? 'unavailable' : null) : step.status,
  }
}

function readFacts(step: Step): Facts {
  const { isError, errorClass, integrity, repeated } = read.tool(step)
  return {
    ...toolFacts(step.name),
    attributes: {
      ...toolFacts(step.name).attributes,
      [guild.integrity]: integrity,
      [guild.fromJournal]: repeated || undefined,
    },
    // The class begins with a code of ours, or is the tool's own text, which is content.
    error: isError ? (/^GUILD_[A-Z_]+/.exec(errorClass ?? '')?.[0] ?? 'tool_error') : null,
  }
}

function toolFacts(tool: string): Pick<SpanRecord, 'name' | 'kind' | 'attributes'> {
  return {
    name: `${operations.tool} ${tool.slice(0, 100)}`,
    kind: 'client',
    attributes: {
      [genAi.operation]: operations.tool,
      [genAi.toolName]: tool.slice(0, 100),
      [genAi.toolType]: 'extension',
    },
  }
}

/** The write itself happens elsewhere and later, as a child of this. */
function actionFacts(step: Step): Facts {
  const { actionId, isError, repeated } = read.tool(step)
  return {
    name: `propose_action ${step.name}`,
    // The receipt of a duplicate names an action of somebody else.
    ...(actionId !== null && !repeated && { spanId: spanIds.action(actionId) }),
    attributes: { [guild.actionType]: step.name, [guild.actionId]: actionId },
    error: isError ? 'denied' : null,
  }
}
