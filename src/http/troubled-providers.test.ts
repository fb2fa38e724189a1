import { expect, it } from 'vitest'
import { openTestDatabase } from '../../test/database.ts'
import { ProviderHealth } from '../executor/provider-health.ts'
import { systemClock } from '../kernel/clock.ts'
import { statusSql, troubledProviders } from './status.ts'

it('names providers that are cut off or limit the rate, with the time and the reason, apart from connectors', async () => {
  await using db = await openTestDatabase()
  const health = new ProviderHealth({ database: db, clock: systemClock })
  await db.transaction(async (tx) => {
    for (let n = 0; n < 5; n += 1) await health.failed(tx, 'anthropic', 'ECONNREFUSED')
    await health.failed(tx, 'openai', '429 slow down', 60_000)
    await health.failed(tx, 'ollama', 'once')
  })
  const later = expect.stringMatching(/^20\d\d-.*Z$/)
  expect(await troubledProviders(db)).toEqual([
    { name: 'anthropic', state: 'OPEN', until: later, why: 'ECONNREFUSED' },
    { name: 'openai', state: 'CLOSED', until: later, why: '429 slow down' },
  ])
  expect((await db.query(statusSql.openBreakers)).rows).toEqual([])
})
