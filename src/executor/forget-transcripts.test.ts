import { afterAll, beforeAll, expect, it } from 'vitest'
import { openTestDatabase } from '../../test/database.ts'
import { Bench } from '../../test/executor-bench.ts'
import type { CodexSnapshot } from '../codex/snapshot.ts'
import type { Database } from '../database/database.ts'
import { forgetTranscripts } from './forget-transcripts.ts'

let db: Database
beforeAll(async () => {
  db = await openTestDatabase()
})
afterAll(() => db.close())

const day = 86_400_000
const signal = new AbortController().signal

it('removes a transcript when its manifest or the ceiling says so, whichever is first', async () => {
  const bench = await Bench.open(db, { script: () => ({ text: 'Done.' }) })
  await bench.deliver()
  const { agent_id, transcript_ref } = await bench.row()
  expect(transcript_ref).toEqual(expect.any(String))
  const removed: string[] = []
  const artifacts = {
    remove: (path: string) => {
      removed.push(path)
      return Promise.resolve()
    },
  }
  const forget = (days: number, transcript: string, ceilingDays: number | null) =>
    forgetTranscripts({
      db,
      artifacts,
      snapshot: kept(String(agent_id), transcript),
      ceilingMs: ceilingDays === null ? null : ceilingDays * day,
      now: new Date(Date.now() + days * day),
      signal,
    })
  expect(await forget(6, '7d', 30)).toBe(0)
  expect(await forget(29, '60d', 30)).toBe(0)
  expect(await forget(59, '60d', null)).toBe(0)
  expect(await forget(8, '7d', 30)).toBe(1)
  expect(removed).toEqual([transcript_ref])
  expect(await bench.row()).toMatchObject({ transcript_ref: null })
  expect(await forget(8, '7d', 30)).toBe(0)
})

it('holds a manifest that wants more to the ceiling', async () => {
  const bench = await Bench.open(db, { script: () => ({ text: 'Done.' }) })
  await bench.deliver()
  const { agent_id } = await bench.row()
  const artifacts = { remove: () => Promise.resolve() }
  const snapshot = kept(String(agent_id), '60d')
  const now = new Date(Date.now() + 31 * day)
  expect(await forgetTranscripts({ db, artifacts, snapshot, ceilingMs: 30 * day, now, signal })).toBe(1)
})

function kept(agentId: string, transcript: string): Pick<CodexSnapshot, 'agents'> {
  const manifest = { spec: { retention: { transcript, journal: '30d' } } }
  // Only the retention of a manifest is read.
  return { agents: new Map([[agentId, { manifest }]]) } as unknown as Pick<CodexSnapshot, 'agents'>
}
