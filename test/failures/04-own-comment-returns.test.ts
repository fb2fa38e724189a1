// 4. Agent's own comment returns as webhook, and via a second bot → chain stops at depth, cost per tree bounded
// (claude-code-action #1445, #611; codex #37964).
//
// Mutations: each was made by hand, the assertion named then failed, and the code was put back.
// - src/dispatcher/decide.ts, the rulings SELF_ECHO (confirmed marker, own account) removed: “as webhook” received 3, not 2: the agent
//   answered itself
// - src/dispatcher/decide.ts, `depth > maxDepth` never true: “via helper[bot]” had 20 runs, not 4 (then maxFanOut held)
// - src/dispatcher/dispatcher.sql, the cause of a bot's event never looked up: “via helper[bot]” never settled, each answer was a new tree
// - src/dispatcher/dispatcher.sql, the cause looked up for persons too: “what a person does” had depths 0, 1 and no third run
// - src/dispatcher/admit.ts, `runs >= maxFanOut` never true: “twelve comments” had more than 6 runs
// - src/dispatcher/causal-limits.ts, policies left out: “an organisation holds” had 21 runs, not 3
// - src/ledger/limits.ts, the limit of the tree removed: “the cost of the tree” ended COMPLETED at maxDepth, not STOPPED
import { createServer, type Server } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Desk } from '../../src/actions/desk.ts'
import { Echoes } from '../../src/actions/echo.ts'
import { actionExecutor } from '../../src/actions/execute.ts'
import { githubActionTypes } from '../../src/actions/targets/github.ts'
import type { Database } from '../../src/database/database.ts'
import { reconcile } from '../../src/dispatcher/reconcile.ts'
import { readTree } from '../../src/dispatcher/tree.ts'
import { Deadlines } from '../../src/gateway/deadlines.ts'
import { deadlineMsDefault, receive } from '../../src/gateway/receive.ts'
import { github } from '../../src/gateway/sources/github.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import type { JsonObject } from '../../src/kernel/json.ts'
import { silentLog } from '../../src/kernel/log.ts'
import { Secret } from '../../src/kernel/secret.ts'
import { type Sandbox, sandboxLogin, sandboxToken, startSandbox } from '../../src/sandbox/sandbox.ts'
import { githubTarget } from '../actions.ts'
import { AdmissionLine, lineAgent, linePolicy } from '../admission-line.ts'
import { testCache } from '../cache.ts'
import { openTestDatabase } from '../database.ts'
import { aRoute, text } from '../dispatch.ts'

const secret = 'hook-secret'
const ownAccounts = [sandboxLogin]
let db: Database
let sandbox: Sandbox
let hooks: Server
let line: AdmissionLine

beforeAll(async () => {
  db = await openTestDatabase()
  // The real way in: signature, parsing, normalising; what it publishes lands on the line.
  hooks = createServer((request, response) => {
    void (async () => {
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(Buffer.from(chunk as Uint8Array)) // a request is a stream of bytes
      const headers = Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)]))
      const connector = { name: 'github', chapter: () => null, secrets: [new Secret(secret)], botLogins: ownAccounts }
      const answer = await receive(
        { source: github, connector, headers, body: Buffer.concat(chunks) },
        {
          bus: { publish: (topic, messages) => line.outbox.add(db, topic, messages) },
          clock: systemClock,
          log: silentLog,
          deadlines: new Deadlines(deadlineMsDefault),
        },
      )
      response.writeHead(answer.status, { ...answer.headers }).end(JSON.stringify(answer.body))
    })()
  })
  hooks.listen(0, '127.0.0.1')
  await once(hooks, 'listening')
})
beforeEach(async () => {
  const tables = [
    'event_keys',
    'events',
    'receipts',
    'decisions',
    'invocations',
    'actions',
    'action_meanings',
    'breakers',
  ]
  await db.query(text(`TRUNCATE ${tables.map((name) => `guild_core.${name}`).join(', ')} CASCADE`))
  sandbox = await startSandbox({ clock: systemClock })
  const { port } = hooks.address() as AddressInfo // it listens on TCP
  sandbox.github.plant({
    repositories: [{ full_name: 'octo/shop', issues: [{ number: 7, title: 'Broken', user: 'ada' }] }],
  })
  sandbox.github.pointTo({ url: `http://127.0.0.1:${port}/webhooks/github`, secret })
  for (const login of ['ada', 'helper[bot]', 'other-guild[bot]']) sandbox.github.state.grant(`token-of-${login}`, login)
})
afterEach(() => sandbox.close())
afterAll(async () => {
  hooks.close()
  await db.close()
})

describe('agent’s own comment returns as webhook, and via a second bot → chain stops at depth, cost per tree bounded', () => {
  it('as webhook: it is an echo that continues the tree and wakes nobody', async () => {
    line = open({})
    await says('ada', 'Is this still broken?')
    await settle(() => Promise.resolve())
    expect(await reconcile(db)).toEqual({ received: 2, dispositions: { ROUTED: 1, SELF_ECHO: 1 }, difference: 0 })
    expect(await places()).toEqual(['0 ROUTED ada', `1 SELF_ECHO ${sandboxLogin}`])
    expect(await roots()).toBe(1)
  })

  it.each(['helper[bot]', 'other-guild[bot]'])(
    'via %s, which answers whatever we write: it stops at depth',
    async (bot) => {
      line = open({ causal: { maxDepth: 3 } })
      await says('ada', 'Is this still broken?')
      // Another Guild's bot marks its comments as ours does, and one that quotes us carries our own marker back.
      await settle(() => answers(bot, (ours) => `I see: ${ours}\n<!-- guild:act_00000000000000000000000000 -->`))
      expect(await line.runs()).toHaveLength(4)
      expect((await line.runs()).map((run) => run['causal_depth'])).toEqual([0, 1, 2, 3])
      expect(await roots()).toBe(1)
      const { rows } = await db.query<{ reason: string }>(
        text(`SELECT reason FROM guild_core.events WHERE disposition = 'LOOP_STOPPED'`),
      )
      expect(rows).toEqual([
        {
          reason: expect.stringMatching(/sentinel may act on causes up to 3 deep, this is 4 deep in the tree of evt_/),
        },
      ])
      expect((await reconcile(db)).difference).toBe(0)
    },
  )

  it('what a person does begins a new tree', async () => {
    line = open({ causal: { maxDepth: 1 } })
    await says('ada', 'Is this still broken?')
    await settle(() => answers('helper[bot]', (ours) => `I see: ${ours}`))
    await says('ada', 'And now?')
    await settle(() => Promise.resolve())
    expect((await line.runs()).map((run) => run['causal_depth'])).toEqual([0, 1, 0])
    expect(await roots()).toBe(2)
  })

  it('a bot that answers once with twelve comments: the runs of the tree are counted', async () => {
    let rounds = 0
    line = open({ causal: { maxDepth: 20, maxFanOut: 6 } })
    await says('ada', 'Is this still broken?')
    await settle(async () => {
      if (rounds === 4) return
      const before = answered
      for (let copy = 0; copy < 12; copy += 1) await answers('helper[bot]', () => `copy ${copy}`, copy === 11)
      if (answered > before) rounds += 1
    })
    expect(await line.runs()).toHaveLength(6)
    expect(await line.decisions('LOOP_STOPPED')).not.toEqual([])
    expect((await reconcile(db)).difference).toBe(0)
  })

  it('an organisation holds all its agents to a ceiling', async () => {
    line = open({ causal: { maxDepth: 20, maxFanOut: 100 } }, { causal: { maxDepth: 2 } })
    await says('ada', 'Is this still broken?')
    await settle(() => answers('helper[bot]', (ours) => `I see: ${ours}`))
    expect(await line.runs()).toHaveLength(3)
  })

  it('however deep it may go, the cost of the tree is bounded', async () => {
    // Each answer costs 100 × 10 + 20 × 20 = 1 400 millionths of a dollar; a call reserves more than that before it is made.
    line = open({ causal: { maxDepth: 20, maxFanOut: 100, maxCostPerTree: 0.09 }, landingReserve: 0 })
    await says('ada', 'Is this still broken?')
    await settle(() => answers('helper[bot]', (ours) => `I see: ${ours}`))
    const runs = await line.runs()
    const cost = runs.reduce((sum, run) => sum + Number(run['cost_micros']), 0)
    expect(cost).toBeGreaterThan(0)
    expect(cost).toBeLessThanOrEqual(90_000)
    expect(runs.at(-1)).toMatchObject({ state: 'STOPPED' })
    const tree = await readTree(db, String(runs.at(-1)?.['event_id']))
    expect(tree).toMatchObject({ runs: runs.length, cost_micros: cost, person: 'ada' })
  })
})

function open(limits: JsonObject, policy: JsonObject = {}): AdmissionLine {
  const grants = [{ type: 'GITHUB_COMMENT', autonomy: 3, max: 5 }]
  const trust = { autonomyCeilingWhenTainted: 3 }
  const model = { prefer: ['a/one'], maxOutputTokensPerCall: 200 }
  const codex = {
    agents: [lineAgent('sentinel', { limits, trust, model, tools: { actions: grants } })],
    routes: [aRoute('any', '*', ['sentinel'])],
    policies: [linePolicy(policy)],
  }
  return new AdmissionLine(db, {
    ...codex,
    botLogins: ownAccounts,
    // Every run says something new on the thread: the worst an agent can do.
    script: (request, call) =>
      request.messages.some(({ role }) => role === 'tool')
        ? { text: 'Done.' }
        : {
            toolCalls: [
              {
                id: 'c1',
                name: 'GITHUB_COMMENT',
                args: { repo: 'octo/shop', number: 7, body: `Look again, ${call}.` },
              },
            ],
          },
    intake: (outbox) =>
      new Desk({ systems: [{ system: 'github', types: githubActionTypes }], outbox, live: ['github'] }),
    echoes: (outbox) => new Echoes({ outbox, clock: systemClock, botLogins: () => ownAccounts }),
    consumers: (outbox, serving) => {
      const target = githubTarget(sandbox.url, systemClock, {
        token: () => Promise.resolve(new Secret(sandboxToken)),
        botLogin: sandboxLogin,
      })
      const deps = { db, outbox, codex: serving, targetOf: () => target, live: ['github'], owner: 'test' }
      return [actionExecutor({ ...deps, cache: testCache(db), clock: systemClock, log: silentLog }).consumer]
    },
  })
}

async function says(login: string, body: string): Promise<void> {
  const response = await fetch(`${sandbox.url}/repos/octo/shop/issues/7/comments`, {
    method: 'POST',
    headers: { authorization: `Bearer token-of-${login}`, 'content-type': 'application/json' },
    body: JSON.stringify({ body }),
  })
  expect(response.status).toBe(201)
}

let answered = 0

/** A bot with a webhook of its own: it answers whatever our account has written since it last looked. */
async function answers(login: string, words: (ours: string) => string, last = true): Promise<void> {
  const written = sandbox.github.received().flatMap(({ body }) => {
    const words = typeof body === 'object' && body !== null && 'body' in body ? String(body.body) : ''
    return words.startsWith('Look again') ? [words] : []
  })
  if (written.length <= answered) return
  if (last) answered = written.length
  await says(login, words(written.at(-1) ?? ''))
}

async function settle(bot: () => Promise<unknown>): Promise<void> {
  answered = 0
  await line.settle(async () => {
    await sandbox.github.settled()
    await bot()
    await sandbox.github.settled()
  }, 60)
}

/** `depth disposition actor` of every event, as they came */
async function places(): Promise<readonly string[]> {
  const { rows } = await db.query<{ place: string }>(
    text(
      `SELECT causal_depth || ' ' || disposition || ' ' || actor AS place FROM guild_core.events ORDER BY received_at, id`,
    ),
  )
  return rows.map(({ place }) => place)
}

async function roots(): Promise<number> {
  const { rows } = await db.query<{ n: number }>(
    text('SELECT count(DISTINCT causal_root)::integer AS n FROM guild_core.events'),
  )
  return rows[0]?.n ?? 0
}
