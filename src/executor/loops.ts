/** One tool call of a run, read or action, in order; all by hash, so that looking is cheap. */
export interface CallTrace {
  /** the model call that asked for it */
  readonly turn: number
  /** hash of tool and arguments */
  readonly request: string
  readonly result: string
  /** what makes two errors the same; null: no error */
  readonly errorClass: string | null
}

const same = { told: 3, stop: 5 } as const
const errorsMax = 4
const pairs = 3
const barrenTurns = 5

/** How often this call has been made before with one and the same result. */
export function repetitions(traces: readonly CallTrace[], request: string): number {
  const counts = new Map<string, number>()
  for (const trace of traces) {
    if (trace.request === request) counts.set(trace.result, (counts.get(trace.result) ?? 0) + 1)
  }
  return Math.max(0, ...counts.values())
}

/** What the tool answers when the same call is made for the third time and more; null: the result itself. */
export function repetitionNotice(made: number): string | null {
  if (made + 1 < same.told) return null
  return `You have made exactly this call ${made} times before, with the same result each time. It is not made again. Use what you have, or finish.`
}

/** Says which loop a run is in, or null (design: runs 6). Pure: the journal decides, so a restart forgets nothing. */
export function detectLoop(traces: readonly CallTrace[]): string | null {
  const last = traces.at(-1)
  if (!last) return null
  for (const { request } of traces) {
    const count = repetitions(traces, request)
    if (count >= same.stop) return `one call was made ${count} times with the same result`
  }
  const errors = traces.slice(-errorsMax)
  const [first] = errors
  if (errors.length === errorsMax && first?.errorClass && errors.every((e) => e.errorClass === first.errorClass)) {
    return `the same error came ${errorsMax} times in a row`
  }
  if (alternates(traces)) return `two calls were made in turn ${pairs} times`
  if (barren(traces)) return `${barrenTurns} model calls in a row brought no new result`
  return null
}

function alternates(traces: readonly CallTrace[]): boolean {
  const tail = traces.slice(-2 * pairs).map(({ request, result }) => `${request} ${result}`)
  if (tail.length < 2 * pairs || tail[0] === tail[1]) return false
  return tail.every((call, index) => call === tail[index % 2])
}

/** Work that only confirms itself: always some call, never a result that was not there before. */
function barren(traces: readonly CallTrace[]): boolean {
  const turns = [...new Set(traces.map(({ turn }) => turn))].slice(-barrenTurns)
  const [first] = turns
  if (turns.length < barrenTurns || first === undefined) return false
  const known = new Set(traces.filter(({ turn }) => turn < first).map(({ result }) => result))
  return traces.every(({ turn, result }) => turn < first || known.has(result))
}
