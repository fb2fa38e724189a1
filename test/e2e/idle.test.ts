import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { testPostgres } from '../postgres.ts'
import { guild, GuildProcess, temporary } from './process.ts'

// V8 gives back what the start needed, twice within 20 s.
const settleMs = 20_000
const watchMs = 20_000
const windowsMax = 3
const server = await testPostgres()

/** What an idle `guild up` may cost: per cent of one core, and megabytes resident. */
const limits = { embedded: { cpu: 2, megabytes: 450 }, server: { cpu: 2, megabytes: 180 } }

it('costs next to nothing while nothing happens', { timeout: 180_000 }, async () => {
  const home = await temporary('guild-idle-')
  const env = { LOG_LEVEL: 'warn' }
  const first = await GuildProcess.up({ home, env })
  const firstReadyMs = first.readyMs
  expect(await first.stop()).toBe(0)
  await using embedded = await GuildProcess.up({ home, env })
  await using external = await onServer()
  await delay(settleMs)
  const [onEmbedded, onExternal] = await Promise.all([
    watch(embedded, limits.embedded.cpu),
    external && watch(external, limits.server.cpu),
  ])
  process.stderr.write(
    `idle: first start ${firstReadyMs} ms, with a database ${embedded.readyMs} ms, on a server ${external?.readyMs ?? '–'} ms; ` +
      `embedded ${shown(onEmbedded)}, server ${shown(onExternal)}\n`,
  )
  expect(onEmbedded.cpu.at(-1)).toBeLessThan(limits.embedded.cpu)
  expect(onEmbedded.megabytes).toBeLessThan(limits.embedded.megabytes)
  if (!onExternal) return
  expect(onExternal.cpu.at(-1)).toBeLessThan(limits.server.cpu)
  expect(onExternal.megabytes).toBeLessThan(limits.server.megabytes)
})

async function onServer(): Promise<GuildProcess | null> {
  if (server === null) return null
  const env = { DATABASE_URL: await server.newDatabase('empty'), LOG_LEVEL: 'warn' }
  const home = await temporary('guild-idle-server-')
  expect((await guild(['migrate'], { env: { ...env, GUILD_HOME: home } })).code).toBe(0)
  return GuildProcess.up({ home, env })
}

interface Watched {
  /** per cent of a core, one figure a window */
  readonly cpu: readonly number[]
  readonly megabytes: number
}

/** In its first minutes V8 now and then spends a third of a second on compiling a hot part of PGlite better; then another window shows the rest. */
async function watch({ pid }: GuildProcess, limit: number): Promise<Watched> {
  const cpu: number[] = []
  while (cpu.length < windowsMax && !((cpu.at(-1) ?? Infinity) < limit)) {
    const before = cpuMs(pid)
    await delay(watchMs)
    cpu.push(((cpuMs(pid) - before) / watchMs) * 100)
  }
  const resident = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return { cpu, megabytes: Number(resident) / 1_024 }
}

/** Its own time and that of children it has collected, e.g. git: man 5 proc_pid_stat, fields 14 to 17, in hundredths of a second. */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ')
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks) * 10, 0)
}

function shown(watched: Watched | null): string {
  if (!watched) return 'not measured'
  return `${watched.cpu.map((percent) => percent.toFixed(2)).join(', then ')} % of a core, ${Math.round(watched.megabytes)} MB`
}
