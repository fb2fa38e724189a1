import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { standardRedactor } from '../../guards/privacy/redact.ts'
import type { EventRow } from '../../http/rows.ts'
import { GuildError } from '../../kernel/errors.ts'
import type { LlmAnswer } from '../../llm/llm.ts'
import { saveRecording } from '../../llm/replay/replay-llm.ts'
import type { Client } from '../client.ts'
import { paint, plural } from '../print.ts'

export interface Recorded {
  readonly run: string
  readonly folder: string
  readonly answers: number
  /** the body of the webhook, for `guild try`; null: the event was none */
  readonly event: string | null
  /** kinds of secrets that were taken out */
  readonly removed: readonly string[]
}

const json = z.json()
const count = z.int().min(0)
const transcriptSchema = z.object({
  // Before this format the hash of a question was another one.
  format: z.literal('guild/transcript/1'),
  event: z.object({ id: z.string() }),
  steps: z.array(z.looseObject({ kind: z.string(), status: z.string() })),
})
const answered = z.object({
  kind: z.literal('llm'),
  status: z.literal('DONE'),
  request_hash: z.string().regex(/^[0-9a-f]{64}$/),
  response: z.object({
    text: z.string(),
    toolCalls: z.array(z.object({ id: z.string(), name: z.string(), args: json })),
    stop: z.enum(['end', 'tool_calls', 'length', 'refusal']),
    provider: z.string(),
    model: z.string(),
  }),
  usage: z.object({
    inputNocache: count,
    inputCacheRead: count,
    inputCacheWrite: count,
    outputText: count,
    outputReasoning: count,
  }),
})

/** Rules need no recording, and a recording of a recording would tell of a model that nobody asked. */
const notModels: ReadonlySet<string> = new Set(['rules', 'replay'])

/**
 * One file per answer of a model, in the format that `replay` reads, without secrets.
 * @throws GUILD_TRANSCRIPT_GONE; GUILD_COMMAND_INVALID when no model answered
 */
export async function recordRun(client: Client, id: string, folder: string): Promise<Recorded> {
  const given = await client.get<unknown>(`/api/v1/invocations/${encodeURIComponent(id)}/transcript`)
  const transcript = transcriptSchema.safeParse(given)
  if (!transcript.success)
    throw new GuildError('GUILD_COMMAND_INVALID', {
      why: `the transcript of ${id} is of an older guild and tells too little`,
    })
  const answers = transcript.data.steps.flatMap((step) => {
    const read = answered.safeParse(step)
    return read.success && !notModels.has(read.data.response.provider) ? [read.data] : []
  })
  if (answers.length === 0)
    throw new GuildError('GUILD_COMMAND_INVALID', { why: `no model answered in ${id}: there is nothing to record` })
  const removed = new Set<string>()
  for (const { request_hash: hash, response, usage } of answers) {
    const clean = standardRedactor.json(response)
    for (const kind of clean.removed) removed.add(kind)
    const answer: LlmAnswer = { ...clean.value, usage: { ...usage, raw: {} } }
    await saveRecording(folder, hash, { request: null, answer })
  }
  const event = await saveEvent(client, transcript.data.event.id, folder)
  return { run: id, folder, answers: answers.length, event, removed: [...removed] }
}

/** GitHub's own body is kept in the event: `guild try` sends it again. */
async function saveEvent(client: Client, id: string, folder: string): Promise<string | null> {
  const { payload } = await client.get<EventRow & { readonly payload?: unknown }>(
    `/api/v1/events/${encodeURIComponent(id)}`,
  )
  const native = z.object({ github: z.record(z.string(), json) }).safeParse(payload)
  if (!native.success) return null
  const file = join(folder, 'event.json')
  const clean = standardRedactor.json(native.data.github).value
  await writeFile(file, `${JSON.stringify(clean, null, 2)}\n`, { mode: 0o600 })
  return file
}

export function describeRecording({ run, folder, answers, event, removed }: Recorded): string {
  return [
    `${plural(answers, 'answer')} of ${run} recorded in ${folder}/`,
    ...(removed.length > 0 ? [paint.yellow(`taken out: ${removed.join(', ')}`)] : []),
    '',
    'Give them again, with no key of a model set:',
    ...(event ? [`  GUILD_REPLAY=${folder} guild try ${event}`] : []),
    `  GUILD_REPLAY=${folder} guild up`,
    paint.dim('The same Codex, event and results of reads give the same answers; any other question is refused.'),
  ].join('\n')
}
