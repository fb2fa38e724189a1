import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { GuildError } from '../../kernel/errors.ts'
import type { Llm, LlmAnswer } from '../llm.ts'
import { questionOf, requestHash } from '../request-hash.ts'

/**
 * Answers from a folder of recordings, one file `<hash>.json` per request. Nothing is bought, so usage is 0; what the recorded call
 * used stands in `usage.raw.recorded`. A request that was never recorded rejects with GUILD_LLM_UNRECORDED.
 */
export function replayLlm(folder: string): Llm {
  return {
    async call(request, { signal }) {
      const hash = requestHash(request)
      const recording = await load(join(folder, `${hash}.json`), signal)
      if (!recording) throw new GuildError('GUILD_LLM_UNRECORDED', { hash })
      const { opaque, usage, provider, model, ...said } = recording.answer
      return {
        ...said,
        ...(opaque && { opaque }),
        usage: {
          inputNocache: 0,
          inputCacheRead: 0,
          inputCacheWrite: 0,
          outputText: 0,
          outputReasoning: 0,
          raw: { recorded: { ...usage, raw: usage.raw } },
        },
        provider: 'replay',
        model: `${provider}/${model}`,
      }
    },
  }
}

/** Passes every call on to `inner` and keeps the answer for `replayLlm`. Prompts are written to the folder: treat it as they are. */
export function recordingLlm(inner: Llm, folder: string): Llm {
  return {
    async call(request, options) {
      const answer = await inner.call(request, options)
      await saveRecording(folder, requestHash(request), { request: questionOf(request), answer })
      return answer
    },
  }
}

const object = z.record(z.string(), z.json())
const count = z.int().min(0)
const recordingSchema = z.object({
  answer: z.object({
    text: z.string(),
    toolCalls: z.array(z.object({ id: z.string(), name: z.string(), args: z.unknown() })),
    stop: z.enum(['end', 'tool_calls', 'length', 'refusal']),
    usage: z.object({
      inputNocache: count,
      inputCacheRead: count,
      inputCacheWrite: count,
      outputText: count,
      outputReasoning: count,
      raw: object,
    }),
    provider: z.string(),
    model: z.string(),
    opaque: object.optional(),
  }),
})

async function load(file: string, signal: AbortSignal): Promise<z.infer<typeof recordingSchema> | null> {
  signal.throwIfAborted()
  try {
    return recordingSchema.parse(JSON.parse(await readFile(file, { encoding: 'utf8', signal })))
  } catch (cause) {
    signal.throwIfAborted()
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return null
    throw new GuildError('GUILD_LLM_REJECTED', { provider: 'replay', why: `${file} is no recording` }, { cause })
  }
}

/** One file per question; the same question again replaces its answer. */
export async function saveRecording(
  folder: string,
  hash: string,
  recording: { readonly request: object | null; readonly answer: LlmAnswer },
): Promise<void> {
  await mkdir(folder, { recursive: true })
  const file = join(folder, `${hash}.json`)
  // Written aside and renamed: a crash leaves no half recording behind.
  const aside = `${file}.${process.pid}.tmp`
  await writeFile(aside, `${JSON.stringify(recording, null, 2)}\n`, { mode: 0o600 })
  await rename(aside, file)
}
