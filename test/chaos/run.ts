import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { writeCodex } from './codex.ts'
import { embeddedGuild, type Guild, type GuildParts, servedGuild } from './configuration.ts'
import { Deliveries } from './deliveries.ts'
import { direct } from './director.ts'
import { faultKinds, plan } from './faults.ts'
import { judge, quietMs, type Result } from './judge.ts'
import type { Config, Options } from './options.ts'
import { guildCommand } from './process.ts'
import { PostgresServer } from './postgres-server.ts'
import { type Books, readBooks } from './reconcile.ts'
import { Proxy } from './proxy.ts'
import { Random } from './random.ts'
import { RedisServer } from './redis-server.ts'
import { SmallDisk } from './small-disk.ts'
import { FakeTarget } from './target.ts'
import { waitFor } from './wait.ts'
import type { World } from './world.ts'

const senders = 24
const acceptedMs = 120_000

export type Progress = (line: string) => void

/**
 * One configuration, from nothing to the reconciliation. Leaves nothing behind unless told to, also when it is interrupted.
 * @throws the reason of `interrupted` once everything that was started is gone
 */
export async function runConfiguration(
  config: Config,
  options: Options,
  progress: Progress,
  interrupted: AbortSignal,
): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), `guild-chaos-${config.replace('+', '-')}-`))
  await using stack = new AsyncDisposableStack()
  if (!options.keep) stack.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  const codex = join(folder, 'codex')
  await mkdir(codex)
  await writeCodex(codex)
  const disk = stack.use(await SmallDisk.open(join(folder, 'artifacts')))
  const target = stack.use(await FakeTarget.open())
  const proxy = stack.use(await Proxy.open(() => target.port))
  const parts: GuildParts = { config, folder, codex, artifacts: disk.folder, target: proxy }
  const servers = config === 'embedded' ? null : await openServers(config, folder, stack)
  const guild = servers ? await servedGuild(parts, servers) : embeddedGuild(parts)
  stack.defer(async () => {
    await Promise.all(guild.processes.map((one) => one.kill()))
  })
  await Promise.all(guild.processes.map((one) => one.start()))
  const stop = new AbortController()
  const gateways = guild.processes.filter(({ name }) => name === 'guild' || name.startsWith('gateway'))
  const deliveries = new Deliveries({
    deliveries: options.deliveries,
    senders,
    urls: () => gateways.flatMap(({ url }) => (url === null ? [] : [`${url}/webhooks/github`])),
    signal: stop.signal,
  })
  const world: World = {
    config,
    folder,
    processes: guild.processes,
    victims: guild.processes.filter(({ name }) => options.on.length === 0 || options.on.includes(name)),
    target,
    deliveries,
    deliveriesMax: options.deliveries,
    postgres: servers?.postgres ?? null,
    redis: servers?.redis ?? null,
    proxies: { target: proxy, postgres: servers?.postgresProxy ?? null, redis: servers?.redisProxy ?? null },
    disk: { fill: disk.fill },
  }
  const playing = play(world, guild, options, stop, progress)
  playing.catch(() => undefined) // once interrupted, what it waits for is taken away from under it
  return await Promise.race([playing, aborted(interrupted)])
}

async function aborted(signal: AbortSignal): Promise<never> {
  if (!signal.aborted)
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
  throw signal.reason
}

async function openServers(config: Config, folder: string, stack: AsyncDisposableStack) {
  const postgres = stack.use(await PostgresServer.open(folder))
  const postgresProxy = stack.use(await Proxy.open(() => postgres.port))
  if (config === 'postgres') return { postgres, postgresProxy, redis: null, redisProxy: null }
  const redis = stack.use(await RedisServer.open(folder))
  return { postgres, postgresProxy, redis, redisProxy: stack.use(await Proxy.open(() => redis.port)) }
}

async function play(
  world: World,
  guild: Guild,
  options: Options,
  stop: AbortController,
  progress: Progress,
): Promise<Result> {
  const { deliveries, target, config } = world
  const beganMs = performance.now()
  const { kinds, skipped } = kindsFor(world, options)
  const planned = plan(kinds, options.faults, new Random(options.seed))
  const sending = deliveries.run()
  let told = 'starting'
  const say = () =>
    progress(
      `${config}: ${deliveries.accepted.size}/${options.deliveries} accepted, ${target.reached} effects, ${told}`,
    )
  const ticker = setInterval(say, 500)
  try {
    const faults = await direct(world, {
      planned,
      seed: options.seed,
      untilMs: beganMs + options.minutes * 60_000,
      onFault: ({ kind, what }, number) => {
        told = `fault ${number}/${planned.length} ${kind}: ${what}`
        say()
      },
    })
    told = 'the last deliveries'
    deliveries.pace(options.deliveries)
    if (!(await waitFor(() => deliveries.done, acceptedMs))) stop.abort()
    await sending
    sabotage(world, options)
    told = 'waiting for quiet'
    const quiet = await waitForQuiet(world)
    const lastMs = Math.max(...target.effects.map(({ atMs }) => atMs))
    told = 'stopping'
    await delay(1_000) // a second effect of something, should there be one
    const codes = await Promise.all(guild.processes.map((one) => one.stop()))
    told = 'reconciling'
    const books = await readFrom(guild, [...deliveries.accepted.keys()])
    const checks = await verify(guild)
    const seconds = (performance.now() - beganMs) / 1_000
    const perSecond = target.reached / ((lastMs - beganMs) / 1_000)
    const measured = { world, options, faults, books, checks, skipped, quiet, codes, seconds, perSecond, beganMs }
    return judge(measured)
  } finally {
    clearInterval(ticker)
    stop.abort()
  }
}

function kindsFor(world: World, options: Options) {
  const skipped: Record<string, string> = {}
  const kinds = faultKinds.filter((kind) => {
    if (options.only.length > 0 && !options.only.some((name) => kind.name.startsWith(name))) return false
    const unfit = kind.unfit(world)
    if (typeof unfit === 'string') skipped[kind.name] = unfit
    return unfit === null
  })
  return { kinds, skipped }
}

/** Quiet: nothing moves and nothing waits, whatever everything has become. */
async function waitForQuiet({ processes }: World): Promise<boolean> {
  const ended = new Set([
    'COMPLETED',
    'STOPPED',
    'FAILED',
    'DEAD',
    'SUCCEEDED',
    'DENIED',
    'EXPIRED',
    'PARKED',
    'UNDONE',
  ])
  return waitFor(
    async () => {
      const status = await statusOf(processes)
      if (status === null) return false
      const moving = [...Object.keys(status.runs), ...Object.keys(status.actions)].some((state) => !ended.has(state))
      return !moving && status.lag.every(({ ready, inFlight, delayed }) => ready + inFlight + delayed === 0)
    },
    quietMs,
    500,
  )
}

interface Status {
  readonly runs: Readonly<Record<string, number>>
  readonly actions: Readonly<Record<string, number>>
  readonly lag: readonly { readonly ready: number; readonly inFlight: number; readonly delayed: number }[]
}

async function statusOf(processes: World['processes']): Promise<Status | null> {
  for (const one of processes) {
    const status = await one.get<Status>('/api/v1/status')
    if (status !== null) return status
  }
  return null
}

function sabotage({ deliveries, target }: World, { sabotage: kinds, deliveries: count }: Options): void {
  // As a gateway would that says yes and keeps nothing, and an executor that repeats what was in doubt.
  if (kinds.includes('lose')) deliveries.accepted.set(count + 1, performance.now())
  if (kinds.includes('double')) target.write(1, 'once more')
}

async function readFrom(guild: Guild, accepted: readonly number[]): Promise<Books> {
  await using database = await guild.openBooks()
  return await readBooks(database, accepted)
}

async function verify({ env }: Guild): Promise<Result['checks']> {
  const checks: Record<string, { code: number | null; output: string }> = {}
  for (const command of ['doctor', 'audit verify', 'ledger verify']) {
    const { code, output } = await guildCommand(command.split(' '), env)
    checks[`guild ${command}`] = { code, output }
  }
  return checks
}
