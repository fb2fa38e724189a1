import type { LoggedMessage } from '../bus.ts'
import { priorityOf } from '../message-rules.ts'
import { listOf, textsOf } from './redis-keys.ts'

/** An entry of a stream as shared.lua writes it, and where it stands among those of all topics. */
export function loggedOf(
  topic: string,
  entry: unknown,
): { readonly message: LoggedMessage; readonly place: { readonly ms: number; readonly n: number } } {
  const [position, flat] = listOf(entry)
  const texts = textsOf(flat)
  const fields = new Map(texts.flatMap((name, index) => (index % 2 === 0 ? [[name, texts[index + 1] ?? '']] : [])))
  const [ms = 0, n = 0] = String(position).split('-').map(Number)
  return {
    place: { ms, n },
    message: {
      position: String(position),
      id: fields.get('id') ?? '',
      topic,
      key: fields.get('key') ?? null,
      priority: priorityOf(Number(fields.get('lane'))),
      body: JSON.parse(fields.get('body') ?? 'null') as unknown,
      publishedAt: new Date(Number(fields.get('at'))),
    },
  }
}
