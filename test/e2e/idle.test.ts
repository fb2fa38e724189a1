import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { testPostgres } from '../postgres.ts'
import { guild, GuildProcess, temporary } from './process.ts'

// V8 gives back what the start needed, twice within 20 s.
const settleMs = 20_000
const watchMs = 20_000
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
  const watched = await Promise.all([embedded, external].map((up) => up && watch(up)))
  const [onEmbedded, onExternal] = watched
  process.stderr.write(
    `idle: first start ${firstReadyMs} ms, with a database ${embedded.readyMs} ms, on a server ${external?.readyMs ?? '–'} ms; ` +
      `embedded ${shown(onEmbedded)}, server ${shown(onExternal)}\n`,
  )
  expect(onEmbedded?.cpu).toBeLessThan(limits.embedded.cpu)
  expect(onEmbedded?.megabytes).toBeLessThan(limits.embedded.megabytes)
  if (!onExternal) return
  expect(onExternal.cpu).toBeLessThan(limits.server.cpu)
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
  readonly cpu: number
  readonly megabytes: number
}

async function watch({ pid }: GuildProcess): Promise<Watched> {
  const before = cpuMs(pid)
  await delay(watchMs)
  const cpu = ((cpuMs(pid) - before) / watchMs) * 100
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

function shown(watched: Watched | null | undefined): string {
  return watched ? `${watched.cpu.toFixed(2)} % of a core, ${Math.round(watched.megabytes)} MB` : 'not measured'
}
