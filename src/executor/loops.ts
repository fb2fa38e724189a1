/** One tool call of a run, read or action, in order; all by hash, so that looking is cheap. */
export interface CallTrace {
  /** the model call that asked for it */
  readonly turn: number
  /** hash of tool and arguments */
  readonly request: string
  readonly result: string
  /** hash of tool, arguments and result without times, ids and counters (`steady.ts`) */
  readonly steady: string
  /** what makes two errors the same; null: no error */
  readonly errorClass: string | null
  /** an action that policy accepted: the run gets on */
  readonly acted: boolean
}

const same = { told: 3, stop: 5 } as const
const errorsMax = 4
const pairs = 3
const barrenTurns = 5
/** Longer than any default run; whoever reads so much without an action or an answer is stopped and asked what it has found. */
const readingTurns = 20

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

/** Said below a result that differs from those of the model calls before only in times, ids and counters. */
export function steadyNotice(traces: readonly CallTrace[], steady: string): string | null {
  const turns = turnsOf(traces)
  const last = turns.slice(1 - same.told)
  if (last.length < same.told - 1) return null
  if (!last.every((turn) => turn.some((trace) => trace.steady === steady))) return null
  return `The last ${same.told} results differ only in numbers, times or ids. Ask for several at once, use what you have, or finish.`
}

/** Says which loop a run is in, or null (design: runs 6). Pure: the journal decides, so a restart forgets nothing. */
export function detectLoop(traces: readonly CallTrace[]): string | null {
  if (traces.length === 0) return null
  const counts = new Map<string, number>()
  for (const { request, result } of traces) {
    const call = `${request} ${result}`
    const count = (counts.get(call) ?? 0) + 1
    if (count >= same.stop) return `one call was made ${count} times with the same result`
    counts.set(call, count)
  }
  const errors = traces.slice(-errorsMax)
  const [first] = errors
  if (errors.length === errorsMax && first?.errorClass && errors.every((e) => e.errorClass === first.errorClass)) {
    return `the same error came ${errorsMax} times in a row`
  }
  if (alternates(traces)) return `two calls were made in turn ${pairs} times`
  const turns = turnsOf(traces)
  if (barren(turns)) return `${barrenTurns} model calls in a row brought no new result`
  if (onlyCounts(turns)) return `${barrenTurns} model calls in a row brought the same but for numbers, times and ids`
  if (onlyReads(turns)) return `${readingTurns} model calls in a row only read, without an action or an answer`
  return null
}

function turnsOf(traces: readonly CallTrace[]): readonly (readonly CallTrace[])[] {
  return [...Map.groupBy(traces, ({ turn }) => turn).values()]
}

function alternates(traces: readonly CallTrace[]): boolean {
  const tail = traces.slice(-2 * pairs).map(({ request, result }) => `${request} ${result}`)
  if (tail.length < 2 * pairs || tail[0] === tail[1]) return false
  return tail.every((call, index) => call === tail[index % 2])
}

/** Work that only confirms itself: always some call, never a result that was not there before. */
function barren(turns: readonly (readonly CallTrace[])[]): boolean {
  const tail = turns.slice(-barrenTurns)
  if (tail.length < barrenTurns) return false
  const known = new Set(turns.slice(0, -barrenTurns).flatMap((turn) => turn.map(({ result }) => result)))
  return tail.flat().every(({ result, acted }) => !acted && known.has(result))
}

/** Results that are always new and never worth anything: a clock, a counter, a page that is like the page before. */
function onlyCounts(turns: readonly (readonly CallTrace[])[]): boolean {
  const [first, ...rest] = turns.slice(-barrenTurns)
  if (!first || rest.length < barrenTurns - 1) return false
  const known = new Set(first.map(({ steady }) => steady))
  return [first, ...rest].flat().every(({ steady, acted }) => !acted && known.has(steady))
}

function onlyReads(turns: readonly (readonly CallTrace[])[]): boolean {
  const tail = turns.slice(-readingTurns)
  return tail.length >= readingTurns && tail.flat().every(({ acted }) => !acted)
}
