import { inputBound, roughBound } from '../ledger/price.ts'
import type { LlmTool, ModelChoice } from '../llm/llm.ts'
import { type Failed, overflow } from './pick-call.ts'
import type { Run } from './run-context.ts'
import { type NextCall, systemText, transcript } from './transcript.ts'
import { ladder, rungsToCut, whatIsGone } from './trim.ts'
import { turnsOf } from './turns.ts'

/** How many rungs of the ladder the next call goes without; what goes anew is put on record. */
export function fitted(
  run: Run,
  whole: NextCall,
  choice: ModelChoice,
  tools: readonly LlmTool[],
  failures: readonly Failed[],
): number {
  const { agent, journal, event } = run
  const rungs = ladder(journal, agent)
  const last = turnsOf(journal).at(-1)
  const from = last?.request.alias === choice.alias ? last.request.trim : 0
  const tooLong = failures.findLast(({ code, alias }) => code === overflow && alias === choice.alias)
  const system = systemText(agent)
  const bytes = (cut: number, enough = 0) => {
    const messages = transcript(journal, event, agent, { ...whole, trim: cut })
    const prompt = { system, messages, tools, output: agent.output }
    // Most prompts are far from the limit: then nobody need measure them.
    const rough = roughBound(prompt)
    return rough <= enough ? rough : inputBound(prompt)
  }
  const cut = rungsToCut({
    from,
    overflowed: tooLong?.trim ?? null,
    rungs: rungs.length,
    bytes,
    contextTokens: choice.contextTokens,
    maxOutputTokens: agent.manifest.spec.model.maxOutputTokensPerCall,
  })
  const before = Math.max(from, tooLong?.trim ?? 0)
  if (cut > before) {
    const because = tooLong
      ? `${choice.provider} found the prompt too long`
      : `${choice.alias} takes ${choice.contextTokens} tokens`
    const reason = `${because}: left out ${whatIsGone(rungs.slice(before, cut))}`
    journal.note({ stage: 'run', outcome: 'CONTEXT_TRIMMED', reason, detail: { trim: cut } })
  }
  return cut
}
