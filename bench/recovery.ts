import { setTimeout as delay } from 'node:timers/promises'
import { writeCodex } from '../test/chaos/codex.ts'
import { Deliveries, webhookSecret } from '../test/chaos/deliveries.ts'
import { FakeTarget, login } from '../test/chaos/target.ts'
import { must } from '../test/chaos/wait.ts'
import type { BenchCase, Lab, StoreKind } from './case.ts'
import { guildUp } from './guild-up.ts'
import { rounds, type Sample } from './rounds.ts'

const stores: readonly { readonly kind: StoreKind; readonly name: string }[] = [
  { kind: 'postgres', name: 'PostgreSQL' },
  { kind: 'pglite', name: 'embedded' },
]
const metrics = ['interrupted', 'ready', 'first', 'last'] as const
const resumeMsMax = 30_000

export const recovery: BenchCase = {
  name: 'b7',
  title: 'B7: after a crash',
  method: `
\`guild up\` works off issues (one run with one comment each) when \`kill -9\` takes it, with at least 50 accepted deliveries whose comment has
not been written: their events, runs or actions are under way or in line. It is started again at once. Counted from the kill: until it
says that it is ready, until the first of the interrupted ones reaches the target, and until the last one has.`,

  async run(lab) {
    const contenders = stores.map(({ kind, name }) => ({ name, run: () => crash(lab, kind) }))
    const results = await rounds(contenders, { ...lab, repetitions: Math.min(lab.repetitions, 3) })
    return {
      tables: [
        {
          title: 'Seconds after the kill',
          columns: ['', 'interrupted', 'ready', 'first continues', 'last is done'],
          rows: stores.map(({ name }) => [name, ...metrics.map((metric) => results.median(name, metric))]),
        },
      ],
      floors: stores.map(({ name }) => ({
        what: `${name}, the last of the interrupted`,
        figure: results.median(name, 'last'),
        unit: 's',
        max: resumeMsMax / 1_000,
      })),
    }
  },
}

async function crash(lab: Lab, kind: StoreKind): Promise<Sample<(typeof metrics)[number]>> {
  await using target = await FakeTarget.open()
  await using up = await guildUp(lab, kind, writeCodex, {
    GITHUB_API_URL: `http://127.0.0.1:${target.port}`,
    GITHUB_TOKEN: 'a-token-of-the-benchmark',
    GITHUB_BOT_LOGIN: login,
    GITHUB_WEBHOOK_SECRET: webhookSecret,
    GUILD_LIVE: 'github',
  })
  const { guild } = up
  const stop = new AbortController()
  const urls = () => (guild.url === null ? [] : [`${guild.url}/webhooks/github`])
  const deliveries = new Deliveries({ deliveries: 400, senders: 20, urls, signal: stop.signal })
  deliveries.pace(1_000)
  const sending = deliveries.run()
  try {
    const underWay = () => target.reached >= 5 && deliveries.accepted.size - target.reached >= 50
    await must(underWay, 60_000, '50 runs under way and five done')
    const killedAt = performance.now()
    await guild.kill()
    const interrupted = [...deliveries.accepted.keys()].filter((issue) => target.firstEffect(issue) === undefined)
    await guild.start()
    const ready = performance.now() - killedAt
    const reached = () => interrupted.flatMap((issue) => target.firstEffect(issue) ?? [])
    await must(() => reached().length === interrupted.length, 120_000, 'all interrupted runs have ended')
    const after = reached().map((at) => (at - killedAt) / 1_000)
    return {
      interrupted: interrupted.length,
      ready: ready / 1_000,
      first: Math.min(...after),
      last: Math.max(...after),
    }
  } finally {
    stop.abort()
    await sending
    await delay(0)
  }
}
