import { inputBound, worstCase } from '../ledger/price.ts'
import type { Run } from './run-context.ts'
import type { ModelRequest } from './step.ts'
import { type NextCall, systemText, transcript } from './transcript.ts'

/** What a closing call may say, at most. */
export const closingTokensMax = 1_000
/** A closing call that can hold less than this of its run is not worth its price. */
export const storyBytesMin = 200

/** What the closing call may take: the rest of the reserve is its input, at the dearest price. */
export function landingReserve({ agent }: Run, { price }: ModelRequest): { tokens: number; costMicros: number } {
  const tokens = agent.manifest.spec.limits.landingReserve
  const output = Math.min(closingTokensMax, agent.manifest.spec.model.maxOutputTokensPerCall, tokens)
  return { tokens, costMicros: worstCase(tokens - output, output, price).costMicros }
}

/** How long the story of a closing call may be so that the landing reserve pays for it: what rules and output leave of it. */
export function storyBytes({ agent, journal, event }: Run, next: NextCall): number {
  const { landingReserve } = agent.manifest.spec.limits
  const output = Math.min(closingTokensMax, agent.manifest.spec.model.maxOutputTokensPerCall)
  const [empty] = transcript(journal, event, agent, { ...next, bytesMax: 0 })
  const fixed = inputBound({ system: systemText(agent), messages: empty ? [empty] : [], tools: [], output: null })
  const text = empty?.role === 'user' ? Buffer.byteLength(empty.text) : 0
  return landingReserve - output - (fixed - text)
}
