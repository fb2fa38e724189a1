import { z } from 'zod'
import { evaluateRules } from '../../codex/rules.ts'
import type { RuleDecision } from '../../codex/rules.ts'
import type { Llm, LlmAnswer, LlmMessage, LlmRequest, LlmToolCall } from '../llm.ts'

const callIdPrefix = 'rule-'

/**
 * The manifest's own deterministic rules as a provider: no key, no tokens, and no word that is not in the rules. The first call
 * answers with the actions of the rules that match; the call after their receipts ends the run and says what became of them.
 */
export function rulesLlm(): Llm {
  return {
    async call(request, { signal }) {
      signal.throwIfAborted()
      const decision = evaluateRules(request.facts.rules, request.facts)
      const receipts = receiptsOf(request.messages)
      return receipts ? closing(request, decision, receipts) : opening(request, decision)
    },
  }
}

function opening(request: LlmRequest, decision: RuleDecision): LlmAnswer {
  const offered = new Set(request.tools.map((tool) => tool.name))
  const toolCalls: LlmToolCall[] = decision.calls
    .filter((call) => offered.has(call.action))
    .map((call, index) => ({ id: `${callIdPrefix}${index + 1}`, name: call.action, args: call.args }))
  const withheld = decision.calls
    .filter((call) => !offered.has(call.action))
    .map((call) => `Rule ${call.rule} asks for ${call.action}, which this run may not use.`)
  return answer(request, toolCalls, [...said(decision), ...withheld])
}

function closing(request: LlmRequest, decision: RuleDecision, receipts: readonly Receipt[]): LlmAnswer {
  return answer(request, [], [...said(decision), ...receipts.map(outcome)])
}

function said({ summary, missing, errors }: RuleDecision): readonly string[] {
  return [
    summary,
    ...(missing.length > 0 ? [`Not in the facts: ${missing.join(', ')}.`] : []),
    ...errors.map((error) => `Could not be evaluated: ${error}.`),
  ]
}

function answer(request: LlmRequest, toolCalls: readonly LlmToolCall[], lines: readonly string[]): LlmAnswer {
  return {
    text: lines.join('\n'),
    toolCalls,
    stop: toolCalls.length > 0 ? 'tool_calls' : 'end',
    usage: { inputNocache: 0, inputCacheRead: 0, inputCacheWrite: 0, outputText: 0, outputReasoning: 0, raw: {} },
    provider: 'rules',
    model: request.model,
  }
}

interface Receipt {
  readonly name: string
  readonly isError: boolean
  readonly text: string
}

/**
 * Results of our own calls, when they are the last thing said. Results of a model's calls are not ours: a run that falls back to
 * rules half-way (budget spent) evaluates them first.
 */
function receiptsOf(messages: readonly LlmMessage[]): readonly Receipt[] | null {
  const last = messages.at(-1)
  if (last?.role !== 'tool' || !last.results.every((result) => result.callId.startsWith(callIdPrefix))) return null
  return last.results
}

const receiptSchema = z.object({ status: z.string(), action_id: z.string().optional(), reason: z.string().nullish() })

/** `GITHUB_COMMENT: queued (act_…)`; a receipt of another shape is quoted. */
function outcome({ name, isError, text }: Receipt): string {
  const receipt = receiptSchema.safeParse(parseJson(text))
  if (!receipt.success) return `${name}: ${isError ? 'failed' : 'answered'} (${text.slice(0, 200)})`
  const { status, action_id, reason } = receipt.data
  const more = [action_id, reason].filter(Boolean).join(', ')
  return `${name}: ${status.replaceAll('_', ' ')}${more ? ` (${more})` : ''}`
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null // quoted as it is
  }
}
