import type { Lab } from '../case.ts'
import type { Sample } from '../rounds.ts'

/** How the messages are handed in: one call each with many calls under way, or in batches. */
export interface Load {
  readonly name: 'singly' | 'in batches'
  /** messages in one call */
  readonly batch: number
  /** calls under way at a time */
  readonly concurrency: number
  /** in one repetition */
  readonly messages: number
  /** with --quick */
  readonly quickly: number
}

export const loads: readonly Load[] = [
  { name: 'singly', batch: 1, concurrency: 64, messages: 8_000, quickly: 2_000 },
  { name: 'in batches', batch: 200, concurrency: 4, messages: 20_000, quickly: 4_000 },
]

export interface Message {
  readonly id: string
  /** 0 is the most urgent of five */
  readonly lane: number
  readonly body: { readonly text: string }
}

/** One queue that is open: hands in, hands out to `onHandled`, acknowledges. */
export interface OpenHop extends AsyncDisposable {
  /** Resolves when the messages are durable. Called with one message, or with a batch. */
  publish(messages: readonly Message[]): Promise<void>
}

export interface Hop {
  readonly name: string
  /** a new queue with a consumer that is running; `onHandled` counts what its handler was given */
  open(lab: Lab, onHandled: (count: number) => void): Promise<OpenHop>
}

/** 1 KB of JSON. */
const text = 'x'.repeat(1_000)
const limitMs = 120_000

/** Publishes all and waits until the last one has been handled, while the consumer runs beside. */
export async function through(hop: Hop, lab: Lab, load: Load, count: number): Promise<Sample<'perSecond'>> {
  const all = Promise.withResolvers<void>()
  let handled = 0
  const queue = await hop.open(lab, (more) => {
    handled += more
    if (handled >= count) all.resolve()
  })
  const late = setTimeout(() => all.reject(new Error(`${hop.name}: ${handled} of ${count} in two minutes`)), limitMs)
  try {
    const began = performance.now()
    await Promise.all([publishAll(queue, load, count), all.promise])
    return { perSecond: (count / (performance.now() - began)) * 1_000 }
  } finally {
    clearTimeout(late)
    await queue[Symbol.asyncDispose]()
  }
}

async function publishAll(queue: OpenHop, { batch, concurrency }: Load, count: number): Promise<void> {
  let next = 0
  const publisher = async () => {
    while (next < count) {
      const from = next
      next = Math.min(count, next + batch)
      await queue.publish(Array.from({ length: next - from }, (_, index) => message(from + index)))
    }
  }
  await Promise.all(Array.from({ length: concurrency }, publisher))
}

function message(serial: number): Message {
  return { id: `m${serial}`, lane: serial % 5, body: { text } }
}
