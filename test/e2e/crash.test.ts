import { setTimeout as delay } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { heraldCodex, Repository } from './codex-repository.ts'
import { commentsByNumber, echoTo, liveEnv, openSandbox, pullRequestOpened, repo, sendUntilAccepted } from './github.ts'
import { guild, GuildProcess, temporary } from './process.ts'
import type { EventRow, Page, RunRow, Status } from './rows.ts'
import { until } from './until.ts'

const deliveries = 200
const crashes = 10
const senders = 4

it(
  'loses nothing and does nothing twice when guild up is killed ten times in a stream of 200 deliveries',
  { timeout: 500_000 },
  async () => {
    const seed = Number(process.env['GUILD_TEST_SEED'] ?? Date.now() % 1_000_000)
    const random = randomFrom(seed)
    await using sandbox = await openSandbox()
    const bodies = Array.from({ length: deliveries }, (_, index) => pullRequestOpened(index + 1))
    for (const body of bodies) sandbox.github.seedFromWebhook(body)
    const codex = await Repository.init('guild-codex-')
    await codex.commit(heraldCodex())
    const options = {
      home: await temporary('guild-crash-'),
      env: { ...liveEnv(sandbox), CODEX_URL: codex.folder, LOG_LEVEL: 'warn' },
    }
    let now = await GuildProcess.up(options)
    const firstReadyMs = now.readyMs
    echoTo(sandbox, now.webhooks)
    const began = performance.now()

    let accepted = 0
    let attempts = 0
    const queue = bodies.entries()
    const stream = Array.from({ length: senders }, async () => {
      for (const [index, body] of queue) {
        attempts += await sendUntilAccepted(() => now.webhooks, body, deliveryId(index))
        accepted += 1
      }
    })
    // Anywhere in the stream, and up to half a second after: in the middle of runs, calls and commits.
    const moments = Array.from({ length: crashes }, () => Math.floor(random() * (deliveries - 20))).sort(
      (a, b) => a - b,
    )
    const readyMs: number[] = []
    for (const moment of moments) {
      await until(() => accepted >= moment, { pollMs: 5, withinMs: 120_000, what: `${moment} deliveries are accepted` })
      await delay(random() * 500)
      await now.kill()
      now = await GuildProcess.up(options)
      readyMs.push(now.readyMs)
      if (process.env['GUILD_TEST_TRACE'])
        process.stderr.write(`${accepted} accepted, killed, ready again after ${now.readyMs} ms\n`)
      echoTo(sandbox, now.webhooks)
    }
    await Promise.all(stream)
    const streamMs = performance.now() - began
    await settled(now, 120_000)
    const settledMs = performance.now() - began

    const events = await all<EventRow>(now, '/api/v1/events?type=PR_OPENED')
    const runs = await all<RunRow>(now, '/api/v1/invocations')
    const comments = [...commentsByNumber(sandbox).values()]
    const command = { env: { GUILD_HOME: options.home } }
    const [audit, ledger, doctor] = await Promise.all([
      guild(['audit', 'verify'], command),
      guild(['ledger', 'verify'], command),
      guild(['doctor'], command),
    ])
    expect({
      events: new Set(events.map((event) => event.id)).size,
      runs: runs.length,
      states: [...new Set(runs.map((run) => run.state))],
      subjects: new Set(runs.map((run) => run.event_id)).size,
      comments: comments.length,
      duplicates: comments.filter((count) => count > 1).length,
      verified: [audit.code, ledger.code, doctor.code],
    }).toEqual({
      events: deliveries,
      runs: deliveries,
      states: ['COMPLETED'],
      subjects: deliveries,
      comments: deliveries,
      duplicates: 0,
      verified: [0, 0, 0],
    })
    expect(await now.stop()).toBe(0)
    process.stderr.write(
      `crash: ${crashes} kills over ${deliveries} deliveries to ${repo} (seed ${seed}): ${attempts} attempts, stream ${seconds(streamMs)} s, ` +
        `all settled after ${seconds(settledMs)} s; first start ${firstReadyMs} ms, restarts ${readyMs.join(' ')} ms\n${doctor.stdout}`,
    )
  },
)

function deliveryId(index: number): string {
  return `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`
}

/** Waits until nothing is on its way any more, whatever it has become. */
async function settled(process: GuildProcess, withinMs: number): Promise<void> {
  const last = { status: '' }
  const look = async (): Promise<boolean> => {
    const { runs, actions, lag } = await process.get<Status>('/api/v1/status')
    last.status = JSON.stringify({ runs, actions, lag })
    const ended = Object.entries({ ...runs, ...actions }).reduce((sum, [, count]) => sum + count, 0)
    const waiting = lag.reduce((sum, { ready, inFlight, delayed }) => sum + ready + inFlight + delayed, 0)
    const moving = [...Object.keys(runs), ...Object.keys(actions)].some(
      (state) => !['COMPLETED', 'SUCCEEDED'].includes(state),
    )
    return ended >= 2 * deliveries && !moving && waiting === 0
  }
  await until(look, { withinMs, pollMs: 250, what: 'every run and action has ended' }).catch((error: unknown) => {
    throw new Error(`${last.status}\n${process.stderr.slice(-2_000)}`, { cause: error })
  })
}

async function all<Row>(process: GuildProcess, path: string): Promise<readonly Row[]> {
  const rows: Row[] = []
  for (let before: string | null = ''; before !== null;) {
    const link = `${path}${path.includes('?') ? '&' : '?'}limit=100${before && `&before=${encodeURIComponent(before)}`}`
    const page: Page<Row> = await process.get(link)
    rows.push(...page.items)
    before = page.next
  }
  return rows
}

function seconds(ms: number): string {
  return (ms / 1_000).toFixed(1)
}

/** mulberry32: the same crashes again with GUILD_TEST_SEED */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
