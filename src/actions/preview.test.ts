import { expect, it } from 'vitest'
import { aCodex, HandClock, tableOutbox } from '../../test/actions.ts'
import type { Database } from '../database/database.ts'
import { silentLog } from '../kernel/log.ts'
import { Desk } from './desk.ts'
import { Preview } from './preview.ts'
import type { Target } from './target.ts'
import { githubActionTypes } from './targets/github.ts'

const nowhere: Database = {
  query: () => Promise.reject(new Error('a dry run asks no database')),
  transaction: () => Promise.reject(new Error('a dry run asks no database')),
} as Partial<Database> as Database // the rest is never reached either

it('reads no target for an action that policy refuses: the token sees more than whoever asks', async () => {
  const looked: string[] = []
  const target: Target = {
    system: 'github',
    types: githubActionTypes,
    render: () => Promise.resolve({ method: 'POST', url: 'https://github.test', headers: {}, body: null }),
    execute: () => Promise.reject(new Error('a dry run does nothing')),
    probe: () => Promise.reject(new Error('a dry run does nothing')),
    look: (call) => {
      looked.push(call.target)
      return Promise.resolve({ kind: 'seen', comparison: { before: { label: 'secret' }, after: {} } })
    },
    probeAfterMs: [],
    minIntervalMs: 0,
  }
  const codex = aCodex({ grants: [{ type: 'GITHUB_LABEL', targets: ['octo/shop#*'] }] })
  const desk = new Desk({ systems: [target], outbox: tableOutbox, live: [] })
  const preview = new Preview({
    db: nowhere,
    desk,
    codex: { current: () => codex },
    targetOf: () => target,
    clock: new HandClock(),
    log: silentLog,
    live: [],
  })
  const { signal } = new AbortController()
  const ask = (repo: string) =>
    preview.dryRun({ agent: 'sentinel', type: 'GITHUB_LABEL', args: { repo, number: 1, add: ['seen'] } }, signal)
  expect(await ask('octo/private')).toMatchObject({ verdict: 'deny', before: null, after: null })
  expect(looked).toEqual([])
  expect(await ask('octo/shop')).toMatchObject({ verdict: 'run', before: { label: 'secret' } })
  expect(looked).toEqual(['octo/shop#1'])
})
