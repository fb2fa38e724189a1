import type { JsonValue } from '../kernel/json.ts'
import type { Step } from './step.ts'

/** What a write changes in the run's own row: counters add up, `state` gives the lease back. */
export interface RowChange {
  readonly model_calls?: number
  readonly tool_calls?: number
  readonly input_tokens?: number
  readonly output_tokens?: number
  readonly cost_micros?: number
  readonly actions?: number
  /** what answered last */
  readonly provider?: string
  readonly model?: string
  readonly state?:
    'WAITING_RATE' | 'WAITING_ACTION' | 'WAITING_APPROVAL' | 'ADMITTED' | 'COMPLETED' | 'STOPPED' | 'FAILED' | 'DEAD'
  readonly reason?: string | null
  readonly detail?: string | null
  readonly summary?: string
  readonly output?: JsonValue
  readonly transcript_ref?: string | null
  /** until it may be claimed again */
  readonly wait_ms?: number
  /** attempts in a row that ended with this step unfinished */
  readonly failing_seq?: number
  readonly failures?: number
  /** how long the words of the journal are kept from now on; nothing: they are not kept for a time that ends */
  readonly journal_ms?: number
  /** they are gone already */
  readonly forgotten?: boolean
}

export interface Entry {
  readonly steps?: readonly Step[]
  readonly row?: RowChange
}

/** Several entries as one, the steps in their order. */
export function together(entries: readonly Entry[]): Required<Entry> {
  return {
    steps: entries.flatMap(({ steps }) => steps ?? []),
    row: entries.reduce<RowChange>((sum, { row }) => (row ? { ...sum, ...row, ...added(sum, row) } : sum), {}),
  }
}

const counters = ['model_calls', 'tool_calls', 'input_tokens', 'output_tokens', 'cost_micros', 'actions'] as const

function added(a: RowChange, b: RowChange): RowChange {
  const sums = counters.flatMap((name) =>
    a[name] === undefined && b[name] === undefined ? [] : [[name, (a[name] ?? 0) + (b[name] ?? 0)] as const],
  )
  return Object.fromEntries(sums)
}
