import type { CompiledAgent } from '../codex/snapshot.ts'
import type { Journal } from './journal.ts'
import { read } from './step.ts'
import { turnsOf } from './turns.ts'

/** One thing that may go when a prompt does not fit. Rules, system text, output schema and the event never do. */
export type Rung =
  | { readonly kind: 'context'; readonly id: string }
  /** by the step of the call */
  | { readonly kind: 'result'; readonly seq: number; readonly name: string }
  /** required context at half its size, once more */
  | { readonly kind: 'half' }

/** What a prompt is without. */
export interface Trim {
  readonly context: ReadonlySet<string>
  readonly results: ReadonlySet<number>
  /** of the size that required context may have */
  readonly share: number
}

const halvings = 2
/** A result as short as the words that would stand for it stays. */
const resultBytesMin = 300

/**
 * In which order things are left out: optional context, lowest priority first and among equals the last of the manifest; then results of
 * earlier turns, oldest first; then half of the required context. From the journal alone, so that a resumed run cuts alike.
 */
export function ladder(journal: Journal, agent: CompiledAgent): readonly Rung[] {
  const had = new Set(
    journal.done.flatMap((step) =>
      step.kind === 'context' && read.context(step).outcome === 'read' ? [step.name] : [],
    ),
  )
  const optional = agent.manifest.spec.context
    .filter((item) => !item.required && had.has(item.id))
    .toReversed()
    .toSorted((a, b) => a.priority - b.priority)
  const results = turnsOf(journal)
    .slice(0, -1)
    .flatMap((turn) =>
      turn.response.toolCalls.flatMap((call, index): Rung[] => {
        const result = turn.results[index]
        if (!result || Buffer.byteLength(result.text) < resultBytesMin) return []
        return [{ kind: 'result', seq: turn.step.seq + 1 + index, name: call.name }]
      }),
    )
  const required = agent.manifest.spec.context.some((item) => item.required && had.has(item.id))
  return [
    ...optional.map(({ id }): Rung => ({ kind: 'context', id })),
    ...results,
    ...Array.from({ length: required ? halvings : 0 }, (): Rung => ({ kind: 'half' })),
  ]
}

/** The first `rungs` of the ladder. */
export function trimOf(journal: Journal, agent: CompiledAgent, rungs: number): Trim {
  const gone = rungs > 0 ? ladder(journal, agent).slice(0, rungs) : []
  return {
    context: new Set(gone.flatMap((rung) => (rung.kind === 'context' ? [rung.id] : []))),
    results: new Set(gone.flatMap((rung) => (rung.kind === 'result' ? [rung.seq] : []))),
    share: 2 ** -gone.filter((rung) => rung.kind === 'half').length,
  }
}

/** What a provider that found so many bytes too long is sent at most the next time. */
const shareAfterOverflow = 0.75
/** Bytes of a token, by estimate: text has about 4, JSON about 3. A provider that counts more says so, and is sent less. */
const bytesPerToken = 3

export interface TrimNeed {
  /** what the last call of the same model was without */
  readonly from: number
  /** what was too long for the provider; null: nothing was */
  readonly overflowed: number | null
  readonly rungs: number
  /** size of the prompt without the first so many rungs; where that is at most `enough`, any number from it to there will do */
  readonly bytes: (rungs: number, enough?: number) => number
  readonly contextTokens: number
  readonly maxOutputTokens: number
}

/** How many rungs go: none that need not, and at least one more than what was too long. */
export function rungsToCut(need: TrimNeed): number {
  const { from, overflowed, rungs, bytes, contextTokens, maxOutputTokens } = need
  const room = (contextTokens - maxOutputTokens) * bytesPerToken
  const before = overflowed === null ? null : bytes(Math.min(overflowed, rungs)) * shareAfterOverflow
  const max = before === null ? room : Math.min(room, before)
  let cut = Math.min(rungs, overflowed === null ? from : Math.max(from, overflowed + 1))
  while (cut < rungs && bytes(cut, max) > max) cut += 1
  return cut
}

/** In words, for the record. */
export function whatIsGone(rungs: readonly Rung[]): string {
  const told = rungs.map((rung) => {
    if (rung.kind === 'context') return `context ${rung.id}`
    return rung.kind === 'result' ? `the result of ${rung.name} (step ${rung.seq})` : 'half of the required context'
  })
  return told.join(', ')
}
