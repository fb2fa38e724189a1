import type { StreamItem } from '../http/stream.ts'
import type { Client } from './client.ts'
import { paint, printable, state, when } from './print.ts'

/** Prints decisions as they are made, until Ctrl-C. */
export async function follow(client: Client, json: boolean): Promise<void> {
  const stop = new AbortController()
  const onSignal = () => stop.abort()
  process.once('SIGINT', onSignal)
  try {
    await client.stream('/api/v1/stream', (item) => print(item as StreamItem, json), stop.signal)
  } finally {
    process.removeListener('SIGINT', onSignal)
  }
}

export function print(item: StreamItem, json: boolean): void {
  process.stdout.write(json ? `${JSON.stringify(item)}\n` : `${sentence(item)}\n`)
}

export function sentence(item: StreamItem): string {
  const what = [item.event_type, item.subject_id].filter(Boolean).join(' ')
  const who = item.agent_id ? ` ${paint.bold(item.agent_id)}` : ''
  return printable(
    `${paint.dim(when(item.at))}  ${item.stage.padEnd(9)}${who} ${state(item.outcome)}  ${paint.dim(what)}  ${item.reason}`,
  )
}
