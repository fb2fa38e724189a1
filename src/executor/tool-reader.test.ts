import { expect, it } from 'vitest'
import { GuildError, type ErrorCode } from '../kernel/errors.ts'
import { systemClock } from '../kernel/clock.ts'
import type { ToolDescription, ToolResult, Tools } from '../tools/tools.ts'
import { ToolReader } from './tool-reader.ts'

const signal = new AbortController().signal
const found: ToolResult = { isError: false, text: 'found', data: null, truncated: false, integrity: 'member' }
const offered: ToolDescription = {
  name: 'github.search',
  description: 'reads',
  inputSchema: {},
  annotations: { readOnlyHint: true },
  builtin: true,
}

/** A server whose calls fail as listed, then answer. */
function reader(failures: readonly (ErrorCode | 'answer')[]) {
  const asked: number[] = []
  const slept: number[] = []
  const tools: Tools = {
    open: () => ({
      list: () => Promise.resolve([offered]),
      call: (_, __, { timeoutMs }) => {
        const failure = failures[asked.length]
        asked.push(timeoutMs)
        if (failure === 'answer') return Promise.resolve({ ...found, isError: true, text: 'no such thing' })
        if (failure === undefined) return Promise.resolve(found)
        return Promise.reject(
          new GuildError(failure, { tool: 'github.search', connector: 'github', why: 'reset', ms: 1 }),
        )
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    }),
  }
  const clock = { ...systemClock, sleep: (ms: number) => Promise.resolve(void slept.push(ms)) }
  const snapshot = { connectors: new Map(), toolPins: new Map() }
  return {
    reader: new ToolReader({ tools, snapshot, clock, random: () => 0.5, onQuarantine: () => undefined }),
    asked,
    slept,
  }
}

it('asks again after a transport failure, twice at most, with a pause that grows', async () => {
  const lucky = reader(['GUILD_TOOL_UNAVAILABLE', 'GUILD_TOOL_UNAVAILABLE'])
  expect(await lucky.reader.read('github.search', {}, 15_000, signal)).toEqual(found)
  expect(lucky.asked).toHaveLength(3)
  expect(lucky.slept[1]).toBeGreaterThan(lucky.slept[0] ?? 0)

  const down = reader(Array<ErrorCode>(9).fill('GUILD_TOOL_UNAVAILABLE'))
  await expect(down.reader.read('github.search', {}, 15_000, signal)).rejects.toMatchObject({
    code: 'GUILD_TOOL_UNAVAILABLE',
  })
  expect(down.asked).toHaveLength(3)
})

it('does not ask again what has answered, with an error too, nor what took too long', async () => {
  const answered = reader(['answer'])
  expect(await answered.reader.read('github.search', {}, 15_000, signal)).toMatchObject({ isError: true })
  expect(answered.asked).toHaveLength(1)

  const slow = reader(['GUILD_TOOL_TIMEOUT'])
  await expect(slow.reader.read('github.search', {}, 15_000, signal)).rejects.toMatchObject({
    code: 'GUILD_TOOL_TIMEOUT',
  })
  expect(slow.asked).toHaveLength(1)
})

it('gives a read its own time, and a minute at most', async () => {
  const { reader: read, asked } = reader([])
  await read.read('github.search', {}, 15_000, signal)
  await read.read('github.search', {}, 600_000, signal)
  expect(asked).toEqual([15_000, 60_000])
})
