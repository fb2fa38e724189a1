import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import type { GuildProcess } from '../test/chaos/process.ts'
import type { BenchCase, StoreKind } from './case.ts'
import { commitCodex, guildUp } from './guild-up.ts'
import { median } from './rounds.ts'

const agents = 100
const schedulesPerAgent = 10
const stores: readonly { readonly kind: StoreKind; readonly name: string }[] = [
  { kind: 'postgres', name: 'PostgreSQL' },
  { kind: 'pglite', name: 'embedded' },
]

export const idle: BenchCase = {
  name: 'b6',
  title: 'B6: the cost of doing nothing',
  method: `
\`guild up\` with all roles, 100 agents and 1 000 schedules of which none comes due, after 30 s in which V8 settles: time of the processor
that the process (with its threads and the children it has ended) uses over 60 s, and its resident memory at the end. On
PostgreSQL without what the server uses. Both stores at the same time, in three windows of 20 s; the figure is the whole, the highest
window stands beside it.`,

  async run(lab) {
    const windowMs = lab.quick ? 5_000 : 20_000
    await using started = new AsyncDisposableStack()
    const watched: { readonly name: string; readonly cpu: readonly number[]; readonly megabytes: number }[] = []
    const guilds = []
    for (const { kind, name } of stores)
      guilds.push({ name, guild: started.use(await guildUp(lab, kind, writeCodex)).guild })
    for (const { guild } of guilds) await scheduled(guild)
    lab.say(` both are up with ${agents * schedulesPerAgent} schedules`)
    await delay(lab.quick ? 10_000 : 30_000)
    await Promise.all(
      guilds.map(async ({ name, guild }) => {
        const cpu: number[] = []
        for (let window = 0; window < 3; window += 1) {
          const before = cpuMs(guild.pid)
          await delay(windowMs)
          cpu.push(((cpuMs(guild.pid) - before) / windowMs) * 100)
        }
        watched.push({ name, cpu, megabytes: residentMegabytes(guild.pid) })
      }),
    )
    const mean = (cpu: readonly number[]) => cpu.reduce((sum, one) => sum + one, 0) / cpu.length
    return {
      tables: [
        {
          title: 'Idle',
          columns: ['', '% of a core', 'median window', 'highest window', 'MB resident'],
          rows: watched
            .toSorted((a, b) => (a.name < b.name ? -1 : 1))
            .map(({ name, cpu, megabytes }) => [name, mean(cpu), median(cpu), Math.max(...cpu), megabytes]),
        },
      ],
      floors: watched.map(({ name, cpu }) => ({ what: name, figure: mean(cpu), unit: '% of a core', max: 2 })),
    }
  },
}

/** The schedules stand in the table. @throws after a minute */
async function scheduled(guild: GuildProcess): Promise<void> {
  for (const until = performance.now() + 60_000; performance.now() < until; await delay(500)) {
    const page = await guild.get<{ readonly items: readonly unknown[] }>('/api/v1/schedules?limit=1000')
    if (page !== null && page.items.length >= 100) return
  }
  throw new Error(`no schedules within a minute; see ${guild.log}`)
}

async function writeCodex(folder: string): Promise<void> {
  const files = Array.from(
    { length: agents },
    (_, serial) => [`agents/agent-${serial}.yaml`, manifest(serial)] as const,
  )
  await commitCodex(folder, {
    ...Object.fromEntries(files),
    'prompts/agent.md': 'You wait for your hour.\n',
    'rules/agent.yaml': `apiVersion: guild/v1
kind: Rules
metadata: { name: agent }
spec:
  rules:
    - { name: rest, when: 'true', do: [], summary: 'Nothing to do.' }
`,
  })
}

/** Its hours are on new year's day: nothing comes due while somebody measures, unless somebody celebrates so. */
function manifest(serial: number): string {
  const crons = Array.from(
    { length: schedulesPerAgent },
    (_, nth) => `    - { cron: '${serial % 60} ${nth + 4} 1 1 *', timezone: Europe/Berlin, intent: HOUR_${nth} }\n`,
  )
  return `apiVersion: guild/v1
kind: Agent
metadata: { name: agent-${serial}, type: Agent${serial}, version: 1.0.0, owner: bench }
spec:
  prompt: { system: prompts/agent.md }
  rules: rules/agent.yaml
  triggers:
${crons.join('')}`
}

/** Its own time and that of children it has collected: man 5 proc_pid_stat, fields 14 to 17, in hundredths of a second. */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ')
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks) * 10, 0)
}

function residentMegabytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1_024
}
