import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { chmod, chown, mkdir } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { alive, bin, descendants, guild, GuildProcess, temporary } from './process.ts'

const nobody = 65_534
const skipped = new Set<string>()

describe('guild up', () => {
  it('takes the next port when its own is taken, and says so', { timeout: 120_000 }, async () => {
    const taken = createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    const { port } = taken.address() as AddressInfo
    await using up = await GuildProcess.up({
      home: await temporary('guild-port-'),
      env: { PORT: String(port), LOG_LEVEL: 'warn' },
      human: true,
    })
    taken.close()
    expect(Number(new URL(up.url).port)).toBeGreaterThan(port)
    expect(up.stdout).toContain(`port ${port} is taken`)
    expect(await up.stop()).toBe(0)
  })

  it('tells a second one on the same home who is there, and where', { timeout: 120_000 }, async () => {
    await using up = await GuildProcess.up({ home: await temporary('guild-second-'), env: { LOG_LEVEL: 'warn' } })
    const second = await guild(['up'], { env: { GUILD_HOME: up.home, PORT: '0' } })
    expect(second.code).toBe(1)
    expect(second.stdout).toBe('')
    expect(second.stderr).toContain(`process ${up.pid} `)
    expect(second.stderr).toContain(up.url)
    expect(second.stderr).toContain('GUILD_DATABASE_LOCKED')
    expect(second.stderr.trim().split('\n')).toHaveLength(3)
    expect(up.running).toBe(true)
  })

  it.each(['SIGTERM', 'SIGINT'] as const)(
    'leaves no process, no lock and no server.json after %s, in a folder with spaces',
    { timeout: 120_000 },
    async (signal) => {
      const folder = join(await temporary('guild with spaces '), 'my home')
      const up = await GuildProcess.up({ home: folder, cwd: join(folder, '..'), env: { LOG_LEVEL: 'warn' } })
      expect(readdirSync(folder)).toEqual(expect.arrayContaining(['guild.lock', 'server.json']))
      const children = descendants(up.pid)
      expect(await up.stop(signal)).toBe(0)
      const left = readdirSync(folder)
      expect(left.filter((name) => name.includes('lock') || name === 'server.json')).toEqual([])
      expect([up.pid, ...children].filter(alive)).toEqual([])
      expect(up.stderr).toBe('')
      // And what it left can be read without a server.
      expect(await guild(['doctor'], { env: { GUILD_HOME: folder } })).toMatchObject({ code: 0, stderr: '' })
    },
  )

  it.skipIf(asNobody() === null)('works as a user without rights', { timeout: 120_000 }, async () => {
    const folder = await temporary('guild-nobody-')
    const home = join(folder, 'home')
    await mkdir(home)
    await chmod(folder, 0o755)
    await chown(home, nobody, nobody)
    const up = await GuildProcess.up({
      home,
      cwd: home,
      env: { HOME: home, LOG_LEVEL: 'warn' },
      program: asNobody() ?? [],
    })
    expect(readFileSync(`/proc/${up.pid}/status`, 'utf8')).toMatch(new RegExp(`^Uid:\\s+${nobody}\\s`, 'm'))
    expect((await fetch(`${up.url}/readyz`)).status).toBe(200)
    expect(await up.stop()).toBe(0)
    expect(readdirSync(home)).not.toContain('guild.lock')
  })

  it.skipIf(oldNode() === null)('says in one line that a Node is too old', async () => {
    const { code, stdout, stderr } = await guild(['up'], { program: [oldNode() ?? ''] })
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toMatch(/^guild needs Node 24 or later, this is v\d+[^\n]*\n$/)
  })
})

/** The command that runs Node as another user, or null with the reason printed. */
function asNobody(): readonly string[] | null {
  const command = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', process.execPath]
  if (process.getuid?.() !== 0) return skip('as a user without rights', 'these tests do not run as root')
  const [first = '', ...rest] = command
  const can = spawnSync(first, [...rest, bin, '--version'], { encoding: 'utf8' })
  return can.status === 0 ? command : skip('as a user without rights', reasonOf(can) ?? 'setpriv cannot run it')
}

function reasonOf(run: ReturnType<typeof spawnSync>): string | undefined {
  return run.error?.message ?? String(run.stderr).trim().split('\n').at(-1)
}

function oldNode(): string | null {
  const folders = ['/usr/local/bin', '/usr/bin', ...(process.env['PATH'] ?? '').split(':')]
  const found = folders
    .map((folder) => join(folder, 'node'))
    .find((path) => {
      if (path.includes('node_modules') || !existsSync(path)) return false
      const version = /^v(\d+)\./.exec(spawnSync(path, ['--version'], { encoding: 'utf8' }).stdout ?? '')
      return version !== null && Number(version[1]) < 24
    })
  return found ?? skip('with an old Node', 'this machine has none')
}

function skip(what: string, reason: string): null {
  if (!skipped.has(what)) process.stderr.write(`skipped: ${what} (${reason})\n`)
  skipped.add(what)
  return null
}
