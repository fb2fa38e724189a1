import type { Queryable } from '../database/database.ts'
import { costMicros } from '../ledger/price.ts'
import { tellBudget } from './tell-budget.ts'
import type { LlmUsage } from '../llm/llm.ts'
import type { RowChange } from './entry.ts'
import { free, type Run } from './run-context.ts'
import { degradationsByThreshold } from '../ledger/degradations.ts'
import { type ModelRequest, type ModelResponse, type ModelUsage, read, type Step } from './step.ts'

const nothing: LlmUsage = {
  inputNocache: 0,
  inputCacheRead: 0,
  inputCacheWrite: 0,
  outputText: 0,
  outputReasoning: 0,
  raw: {},
}

/** All of the input at the full price: what a call costs of which nothing else is known. */
export function estimatedUsage(request: ModelRequest): LlmUsage {
  return { ...nothing, inputNocache: request.inputTokens }
}

/** Some compatible servers report no usage at all: an empty report is not a free answer. */
export function tellsUsage(request: ModelRequest, usage: LlmUsage): boolean {
  return free(request.provider) || Object.keys(usage.raw).length > 0 || usage.inputNocache + usage.outputText > 0
}

/** The bound of the input, and a token per byte of what was said: the ledger never counts too little. */
export function unreportedUsage(request: ModelRequest, response: ModelResponse): LlmUsage {
  const said = response.text + response.toolCalls.map((call) => JSON.stringify(call.args)).join('')
  return { ...estimatedUsage(request), outputText: Buffer.byteLength(said) }
}

/** What the provider reported at the start of an answer whose end never came. */
export function partialUsage(reported: Partial<LlmUsage>): LlmUsage {
  return { ...nothing, ...reported }
}

/** Of an answer that broke off: what was reported, with all of the input where nothing was said of it. */
export function brokenUsage(request: ModelRequest, reported: Partial<LlmUsage>): LlmUsage {
  return reported.inputNocache === undefined ? { ...estimatedUsage(request), ...reported } : partialUsage(reported)
}

export interface Charge {
  readonly usage: ModelUsage
  readonly row: RowChange
  /** Turns the reservation into consumption; for providers that cost nothing there is none. */
  settle(run: Run, tx: Queryable): Promise<void>
}

/** The usage of one call, as it goes to the step, to the run's row and to the ledger. */
export function charge(
  request: ModelRequest,
  usage: LlmUsage,
  answered: { readonly provider: string; readonly model: string } | null,
  estimated: boolean,
): Charge {
  const { raw: _, ...counts } = usage
  const cost = costMicros(counts, request.price)
  return {
    usage: { ...counts, costMicros: cost, estimated },
    row: {
      model_calls: free(request.provider) ? 0 : 1,
      input_tokens: usage.inputNocache + usage.inputCacheRead + usage.inputCacheWrite,
      output_tokens: usage.outputText + usage.outputReasoning,
      cost_micros: cost,
      ...answered,
    },
    async settle(run, tx) {
      const { deps, journal, chapter } = run
      if (request.reservation === null) return
      const { agent_id, event_id } = journal.invocation
      const settled = await deps.ledger.settle(tx, {
        reservationId: request.reservation,
        agentId: agent_id,
        chapter,
        eventId: event_id,
        provider: answered?.provider ?? request.provider,
        model: answered?.model ?? request.model,
        priceVersion: request.price?.version ?? null,
        usage,
        costMicros: cost,
        estimated,
        inputBytes: estimated ? null : request.inputBytes,
        degradations: degradationsByThreshold(deps.codex.current().policies),
        at: deps.clock.now(),
      })
      await tellBudget(run, tx, settled, request.alias)
    },
  }
}

/**
 * An intent without an answer: the worker died, or was stopped, in the call. It may have been paid for, so it is charged: what the
 * provider reported before, else all of its input. The call is then made again as a new attempt.
 */
export async function chargeLost(run: Run, seq: number): Promise<void> {
  const { journal } = run
  const step = journal.attemptsAt(seq).at(-1)
  if (step?.status !== 'INTENT') return
  const request = read.modelRequest(step)
  const lost = charge(request, reportedUsage(step) ?? estimatedUsage(request), null, true)
  const error = 'the worker stopped in the middle of the call'
  journal.note({
    stage: 'budget',
    outcome: 'CALL_LOST',
    reason: `${error}; ${lost.usage.inputNocache} input tokens are charged by estimate and the call is made again`,
  })
  await journal.transact(async (tx) => {
    await lost.settle(run, tx)
    return { steps: [{ ...step, status: 'LOST', usage: lost.usage, error, finished_at: journal.at }], row: lost.row }
  })
}

function reportedUsage(step: Step): LlmUsage | null {
  const usage = read.modelUsage(step)
  return usage ? partialUsage(usage) : null
}
