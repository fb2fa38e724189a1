// 15. Low-priority event is accepted (guild-forge bug).
//
// Mutations: each was made by hand, the assertion named then failed, and the code was put back.
// - src/dispatcher/event-schema.ts refuses BACKGROUND (what the bug was): 14 runs, not 15, and one event DEAD
// - src/executor/admission.ts wakes nobody at the end of a run, and src/dispatcher/sweeper.sql sends no held run again: one run COMPLETED,
//   the others QUEUED
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Database } from '../../src/database/database.ts'
import { reconcile } from '../../src/dispatcher/reconcile.ts'
import { priorities } from '../../src/kernel/event.ts'
import { AdmissionLine, lineAgent } from '../admission-line.ts'
import { openTestDatabase } from '../database.ts'
import { anEvent, aRoute } from '../dispatch.ts'

let db: Database
beforeAll(async () => {
  db = await openTestDatabase()
})
afterAll(() => db.close())

it('low-priority event is accepted: events of every priority, BACKGROUND too, end in a run, also behind a queue of urgent ones', async () => {
  const limits = { concurrency: { max: 1, key: 'metadata.subject.id' } }
  const line = new AdmissionLine(db, {
    agents: [lineAgent('sentinel', { limits })],
    routes: [aRoute('any', '*', ['sentinel'])],
  })
  for (const priority of priorities.toReversed()) line.publish([anEvent({ metadata: { priority } })])
  line.publish(Array.from({ length: 10 }, () => anEvent({ metadata: { priority: 'CRITICAL' } })))
  await line.settle()
  const runs = await line.runs()
  expect(runs.map((run) => run['state'])).toEqual(Array.from({ length: 15 }, () => 'COMPLETED'))
  expect(new Set(runs.map((run) => run['priority']))).toEqual(new Set(priorities))
  expect(await reconcile(db)).toEqual({ received: 15, dispositions: { ROUTED: 15 }, difference: 0 })
})
