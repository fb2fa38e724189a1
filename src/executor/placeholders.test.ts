import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Database } from '../database/database.ts'
import type { JsonValue } from '../kernel/json.ts'
import { openTestDatabase } from '../../test/database.ts'
import { Bench } from '../../test/executor-bench.ts'

let db: Database
beforeAll(async () => {
  db = await openTestDatabase()
})
afterAll(() => db.close())

const comment = (body: string) => ({ toolCalls: [{ id: 'c3', name: 'GITHUB_COMMENT', args: { body } }] })

describe('placeholders of a run that another worker continues', () => {
  it('stand for the same people: an answer in the journal is carried out with the values its model meant', async () => {
    let crashes = 1
    const bench = await Bench.open(db, {
      spec: {
        trust: { redact: ['email'] },
        tools: {
          allow: [{ name: 'github.search' }, { name: 'github.owner' }],
          actions: [{ type: 'GITHUB_COMMENT', autonomy: 2, max: 1 }],
        },
      },
      reads: { 'github.search': { text: 'Nobody.' }, 'github.owner': { text: 'The owner is owner@example.org.' } },
      script: (request, call) => {
        // Words of the model are no source, and yet what it says of itself is named before what it reads next.
        if (call === 1)
          return {
            text: 'I shall ask somebody@example.net first.',
            toolCalls: [{ id: 'c1', name: 'github__search', args: {} }],
          }
        if (call === 2) return { toolCalls: [{ id: 'c2', name: 'github__owner', args: {} }] }
        if (call > 3) return { text: 'Done.' }
        const results = request.messages.flatMap((message) => (message.role === 'tool' ? message.results : []))
        const owner = /⟪email-\d+⟫/.exec(results.at(-1)?.text ?? '')?.[0] ?? 'no placeholder'
        return comment(`Please look, ${owner}`)
      },
      receipt: () => {
        if (crashes === 0) return null
        crashes -= 1
        throw new Error('the worker dies between the answer and its actions')
      },
    })
    await bench.finish()
    expect(bench.llm.requests).toHaveLength(4)
    const restored = bench.proposals.map(({ args, restore }) => restore?.(args as JsonValue, () => true))
    const meant = { body: 'Please look, owner@example.org' }
    expect(restored).toEqual([meant, meant])
  })
})
