/**
 * Every point at which an executor can die that makes a difference: before each of its round trips to the database, in their order, and
 * before and after everything it does outside of it. What lies between two points changes nothing that lasts, so "before" one is
 * "after" the other. The run: a context item, a read, two actions in one answer, a closing word.
 */
export const executorTrips = [
  'claim',
  'T1, call 1: reserve and intend, with the context',
  'usage noted, call 1',
  'heard, call 1',
  'T2, call 1: settle and answer',
  'tool results written',
  'T1, call 2: reserve and intend',
  'usage noted, call 2',
  'heard, call 2',
  'T2 and actions, call 2: settle and answer, with both actions and their results',
  'T1, call 3: reserve and intend',
  'usage noted, call 3',
  'heard, call 3',
  'T2 and finish, call 3: settle and answer, with the end of the run',
] as const

export interface JournalEdge {
  readonly name: string
  /** `actor#n`: the n-th thing that this part of the process does */
  readonly at: string
}

const outside: readonly JournalEdge[] = [
  { name: 'after call 1 was answered, nothing noted', at: 'answer#1' },
  { name: 'after call 2 was answered, nothing noted', at: 'answer#2' },
  { name: 'after call 3 was answered, nothing noted', at: 'answer#3' },
  { name: 'before the transcript', at: 'artifact#1' },
  { name: 'after the transcript, before the message is acknowledged', at: 'artifact#2' },
  { name: 'before the acknowledgement reaches the bus', at: 'ack#1' },
  { name: 'after the acknowledgement', at: 'ack#2' },
  { name: 'before the outbox is relayed', at: 'relay#1' },
  { name: 'after the outbox was relayed, before its rows go', at: 'relay#2' },
  { name: 'after its rows are gone', at: 'relay#3' },
  { name: 'before the first effect', at: 'effect#1' },
  { name: 'after the first effect, before it is confirmed', at: 'effect#2' },
  { name: 'before the second effect', at: 'effect#3' },
  { name: 'after the second effect, before it is confirmed', at: 'effect#4' },
]

export const journalEdges: readonly JournalEdge[] = [
  ...executorTrips.map((name, index) => ({ name: `before: ${name}`, at: `executor#${index + 1}` })),
  ...outside,
]
