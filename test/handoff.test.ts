import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Database } from '../src/database/database.ts'
import { readTree } from '../src/dispatcher/tree.ts'
import type { ActionProposal } from '../src/executor/action-intake.ts'
import type { JsonObject } from '../src/kernel/json.ts'
import { AdmissionLine, lineAgent } from './admission-line.ts'
import { openTestDatabase } from './database.ts'
import { anEvent, aRoute, text } from './dispatch.ts'
import type { Script } from './scripted-llm.ts'

// One agent hands work to another: never in its own run, and never with more than it has itself.
let db: Database
const proposals: ActionProposal[] = []

beforeAll(async () => {
  db = await openTestDatabase()
})
beforeEach(async () => {
  proposals.length = 0
  const tables = ['event_keys', 'events', 'receipts', 'decisions', 'invocations', 'agent_breakers']
  await db.query(text(`TRUNCATE ${tables.map((name) => `guild_core.${name}`).join(', ')} CASCADE`))
})
afterAll(() => db.close())

it('becomes one run of the other agent, one deeper in the same tree, with a share of what is left', async () => {
  const line = open({})
  const event = anEvent()
  line.publish([event])
  await line.settle()
  const [giver, taker] = await line.runs()
  expect([giver?.['agent_id'], giver?.['state'], giver?.['tool_calls']]).toEqual(['scribe', 'COMPLETED', 1])
  expect(taker).toMatchObject({
    agent_id: 'emissary',
    state: 'COMPLETED',
    parent_id: giver?.['id'],
    causal_root: event.id,
    causal_depth: 1,
    rule: 'agents/scribe.yaml#handoff',
    handoff: { from: 'scribe', to: 'emissary', depth: 1, autonomy: 3, confidentiality: 'internal' },
  })
  // 30 % of 60 000 − 2 500 for landing − 120 that the first call took.
  expect(handoffOf(taker)).toMatchObject({ tokens: 17_214 })
  const budgets = text(
    `SELECT budget_tokens FROM guild_ledger.token_budgets WHERE entity_type = 'run' AND entity_id = $1`,
  )
  expect((await db.query(budgets, [String(taker?.['id'])])).rows).toEqual([{ budget_tokens: 17_214 }])
  expect(await readTree(db, String(taker?.['id']))).toMatchObject({ root: event.id, runs: 2, depth: 1 })
  // What it was asked for reaches it as words of another agent, not as ours.
  expect(line.llm.requests.at(-1)?.messages[0]).toMatchObject({ text: expect.stringContaining('Tell the team') })
  expect(line.llm.requests.at(-1)?.system).not.toContain('Tell the team')
})

it('is handed off once, however often the event is delivered, also when the worker dies as it hands off', async () => {
  const line = open({})
  line.publish([anEvent()])
  await line.deliver('guild.events.inbound')
  let deaths = 0
  const handed = () => line.waiting.filter(({ topic }) => topic === 'guild.events.inbound')
  // The message has left, the transaction that journals it has not: as on a bus that is not in the database.
  const dying: Database = Object.assign(Object.create(db) as Database, {
    query: db.query.bind(db),
    transaction: <T>(work: Parameters<typeof db.transaction<T>>[0]) =>
      db.transaction(async (tx) => {
        const result = await work(tx)
        // The second one hinders what would save the answer alone.
        if (deaths < 2 && handed().length > 0) {
          deaths += 1
          throw new Error('the process died before the commit')
        }
        return result
      }),
  })
  await line.deliver('guild.events.agent.scribe', { ...line.deps, database: dying })
  expect([deaths, handed().length]).toEqual([2, 1])
  await db.query(text(`UPDATE guild_core.invocations SET not_before = NULL, queued_at = queued_at - interval '1 min'`))
  line.waiting.push(...handed())
  await line.settle()
  const runs = await line.runs()
  expect(runs.map((run) => [run['agent_id'], run['state']])).toEqual([
    ['scribe', 'COMPLETED'],
    ['emissary', 'COMPLETED'],
  ])
  expect(line.llm.requests).toHaveLength(4)
})

it('stays tainted: words of an outsider lower the autonomy of whoever takes the work', async () => {
  const line = open({ trust: { autonomyCeilingWhenTainted: 1 } })
  const actor = { kind: 'user', id: 'eve', display: 'eve', integrity: 'outsider' } as const
  line.publish([anEvent({ metadata: { actor } })])
  await line.settle()
  const [, taker] = await line.runs()
  expect(handoffOf(taker)).toMatchObject({ autonomy: 1 })
  // Its own manifest would let it act by itself, tainted or not.
  expect(proposals.map(({ integrity, grant }) => [integrity, grant?.autonomy])).toEqual([['outsider', 1]])
})

it('several share what is left: each takes its part of what the ones before have left', async () => {
  const twice = [handOff('emissary', 'first'), handOff('emissary', 'second')]
  const line = open({}, (request) =>
    isGiver(request.system) && !told(request) ? { toolCalls: twice } : { text: 'Done.' },
  )
  line.publish([anEvent()])
  await line.settle()
  const tokens = (await line.runs()).flatMap((run) => (run['handoff'] ? [Number(handoffOf(run)['tokens'])] : []))
  expect(tokens.toSorted((a, b) => b - a)).toEqual([17_214, 12_049])
})

it('two agents that hand the work to and fro stop at maxDepth', async () => {
  const to = (name: string) => ({
    handoff: { to: [name], maxDepth: 2, budgetShare: 0.9 },
    limits: { causal: { maxDepth: 10 } },
  })
  const line = new AdmissionLine(db, {
    agents: [lineAgent('scribe', to('emissary')), lineAgent('emissary', to('scribe'))],
    routes: [aRoute('opened', 'PR_OPENED', ['scribe'])],
    script: (request) =>
      told(request) ? { text: 'Done.' } : { toolCalls: [handOff(isGiver(request.system) ? 'emissary' : 'scribe')] },
  })
  line.publish([anEvent()])
  await line.settle()
  expect((await line.runs()).map((run) => run['agent_id'])).toEqual(['scribe', 'emissary', 'scribe'])
  expect(await line.decisions('HANDOFF_REFUSED')).toEqual(['this run is 2 hand-offs deep, and 2 are allowed'])
  // It is not even offered there.
  expect(line.llm.requests.map(({ tools }) => tools.length)).toEqual([1, 1, 1, 1, 0, 0])
})

describe('is refused, and the model is told why, when', () => {
  it.each<[string, JsonObject, JsonObject, string]>([
    [
      'the agent is not among those named',
      {},
      { to: 'ranger' },
      'ranger is not among those this agent hands on to: emissary',
    ],
    ['there is no such agent', {}, { to: 'nobody' }, 'there is no agent nobody'],
    ['the task is missing', {}, { task: '' }, 'task: '],
    [
      'its share is too small for one call',
      { limits: { tokensPerInvocation: 6_000 } },
      {},
      'is too small for one call of emissary',
    ],
  ])('%s', async (_, spec, args, reason) => {
    const line = open(spec, (request) =>
      told(request)
        ? { text: 'Done.' }
        : { toolCalls: [{ ...handOff('emissary'), args: { ...handOff('emissary').args, ...args } }] },
    )
    line.publish([anEvent()])
    await line.settle()
    expect(await line.runs()).toHaveLength(1)
    expect(await line.decisions('HANDOFF_REFUSED')).toEqual([expect.stringContaining(reason)])
    expect(JSON.stringify(line.llm.requests.at(-1)?.messages)).toContain('denied')
  })

  it('the agent rests because it keeps failing', async () => {
    await db.query(
      text(`INSERT INTO guild_core.agent_breakers (agent_id, failures, opened_at, retry_at, until)
        VALUES ('emissary', 5, now(), now() + interval '1 min', now() + interval '10 min')`),
    )
    const line = open({})
    line.publish([anEvent()])
    await line.settle()
    expect(await line.decisions('HANDOFF_REFUSED')).toEqual([
      expect.stringContaining('emissary is degraded by failures'),
    ])
  })

  it('the run has read what the other agent may not read', async () => {
    const line = open({}, undefined, { trust: { dataClasses: ['public'] } })
    line.publish([anEvent()])
    await line.settle()
    expect(await line.decisions('HANDOFF_REFUSED')).toEqual([
      'this run has read internal data, which emissary does not read',
    ])
  })
})

function open(giver: JsonObject, script: Script = plainScript, taker: JsonObject = {}): AdmissionLine {
  const trust = { autonomyCeilingWhenTainted: 3 }
  const tools = { actions: [{ type: 'GITHUB_COMMENT', autonomy: 3 }] }
  return new AdmissionLine(db, {
    agents: [
      lineAgent('scribe', { handoff: { to: ['emissary'] }, ...giver }),
      lineAgent('emissary', { trust, tools, ...taker }),
      lineAgent('ranger'),
    ],
    routes: [aRoute('opened', 'PR_OPENED', ['scribe'])],
    script,
    intake: () => ({
      describe: () => ({ description: 'comments', inputSchema: { type: 'object' } }),
      outcomes: () => Promise.resolve([]),
      propose: (_tx, proposal) => {
        proposals.push(proposal)
        return Promise.resolve({ status: 'needs_approval', actionId: proposal.actionKey, reason: 'asked' })
      },
    }),
  })
}

const plainScript: Script = (request) => {
  if (told(request)) return { text: 'Done.' }
  return { toolCalls: [isGiver(request.system) ? handOff('emissary') : { id: 'c1', name: 'GITHUB_COMMENT', args: {} }] }
}

function handOff(to: string, task = 'Tell the team') {
  return { id: `call-${task}`, name: 'HANDOFF', args: { to, task, why: 'It speaks to people.' } }
}

function told(request: Parameters<Script>[0]): boolean {
  return request.messages.some(({ role }) => role === 'tool')
}

function isGiver(system: string): boolean {
  return system.startsWith('You are scribe.')
}

function handoffOf(run: Record<string, unknown> | undefined): Record<string, unknown> {
  return (run?.['handoff'] ?? {}) as Record<string, unknown> // jsonb, as the dispatcher wrote it
}
