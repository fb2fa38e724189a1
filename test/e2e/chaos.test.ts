import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import type { Result } from '../chaos/judge.ts'

const script = fileURLToPath(new URL('../chaos/chaos.ts', import.meta.url))

async function chaos(...args: readonly string[]): Promise<{ readonly code: unknown; readonly result: Result }> {
  const child = spawn(process.execPath, [script, '--config', 'embedded', '--json', ...args], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'close')])
  const { results } = JSON.parse(output) as { results: readonly [Result] }
  return { code, result: results[0] }
}

it('loses and repeats nothing while processes are killed and answers are lost', { timeout: 240_000 }, async () => {
  const { code, result } = await chaos(
    '--deliveries',
    '60',
    '--faults',
    '2',
    '--only',
    'kill',
    '--only',
    'target: answers',
  )
  expect(result.failures).toEqual([])
  expect({ accepted: result.accepted, effects: result.books.actions, code }).toEqual({
    accepted: 60,
    effects: { SUCCEEDED: 60 },
    code: 0,
  })
})

it('says so when a delivery was lost, and when an effect happened twice', { timeout: 240_000 }, async () => {
  const { code, result } = await chaos(
    '--deliveries',
    '10',
    '--faults',
    '0',
    '--sabotage',
    'lose',
    '--sabotage',
    'double',
  )
  expect({ code, lost: result.lost, duplicated: result.duplicated }).toEqual({
    code: 1,
    lost: [11],
    duplicated: [{ issue: 1, effects: 2 }],
  })
})
