import { spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { link, readFile, rename, stat, unlink, utimes, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'
import { GuildError } from '../../kernel/errors.ts'

const lockFile = 'guild.lock'
const heartbeatMs = 2000
const silenceMs = 10_000

const holderSchema = z.object({
  nonce: z.string(),
  pid: z.int(),
  /** when the process began, so that a process which got the same pid later is told apart */
  started: z.string(),
  /** host and pid namespace: where `pid` means something */
  where: z.string(),
  since: z.string(),
  url: z.string().nullable(),
})

/** Who has the embedded database of a GUILD_HOME open, and where it can be reached once its server listens. */
export type LockHolder = z.infer<typeof holderSchema>

export interface Patience {
  /** A holder in another container or machine that has not touched the lock for so long is taken for dead. Default 10 000. */
  readonly silenceMs?: number
}

/** The process that has this GUILD_HOME open, or null. What a killed process left behind counts as nobody. */
export async function lockHolder(home: string): Promise<LockHolder | null> {
  const holder = await read(join(home, lockFile))
  return holder !== null && isAlive(holder) !== false ? holder : null
}

/**
 * One process per GUILD_HOME: two engines on the same files would destroy them. The file is born whole (`link`), and a lock whose
 * process is dead is taken over under a lock of its own, so that of several starters exactly one wins.
 */
export class HomeLock {
  readonly #path: string
  readonly #holder: LockHolder
  readonly #heartbeat: NodeJS.Timeout

  /** @throws GUILD_DATABASE_LOCKED with pid, since and url of the process that holds it */
  static async acquire(home: string, patience: Patience = {}): Promise<HomeLock> {
    const path = join(home, lockFile)
    const holder = { ...self, nonce: randomUUID(), since: new Date().toISOString(), url: null }
    const other = await take(path, holder, patience.silenceMs ?? silenceMs)
    if (other === null) return new HomeLock(path, holder)
    const { pid, since, url } = other
    throw new GuildError('GUILD_DATABASE_LOCKED', { home, pid, since, url: url ?? 'its own terminal' })
  }

  private constructor(path: string, holder: LockHolder) {
    this.#path = path
    this.#holder = holder
    this.#heartbeat = setInterval(() => void beat(path), heartbeatMs).unref()
  }

  /** Tells where the server of this process listens. */
  async publish(url: string): Promise<void> {
    await this.#owned()
    await replace(this.#path, { ...this.#holder, url })
  }

  async release(): Promise<void> {
    clearInterval(this.#heartbeat)
    await this.#owned()
    await unlink(this.#path)
  }

  async #owned(): Promise<void> {
    const holder = await read(this.#path)
    if (holder?.nonce === this.#holder.nonce) return
    throw new GuildError('GUILD_INTERNAL', { why: `${this.#path} no longer names this process` })
  }
}

/** @returns null when taken, else who has it */
async function take(path: string, mine: LockHolder, silence: number): Promise<LockHolder | null> {
  for (let turn = 0; ; turn += 1) {
    if (await create(path, mine)) return null
    const other = await read(path)
    if (other === null) continue // released between the two lines above
    if (turn > 100 || (isAlive(other) ?? (await beats(path, silence)))) return other
    // Only who holds the lock named after the dead holder may replace it; it is looked at again under that lock, because somebody
    // may have been through all this in the meantime.
    const guard = `${path}.${other.nonce.slice(0, 8)}`
    if ((await take(guard, { ...mine, nonce: randomUUID() }, silence)) === null) {
      const still = (await read(path))?.nonce === other.nonce
      if (still) await replace(path, mine)
      await unlink(guard)
      if (still) return null
    }
    await delay(10)
  }
}

const self = { pid: process.pid, where: place(), started: startOf(process.pid) ?? '' }

/** undefined: it runs somewhere we cannot look */
function isAlive(holder: LockHolder): boolean | undefined {
  if (holder.where !== self.where) return undefined
  return startOf(holder.pid) === holder.started
}

/** A holder on another machine or in another container shows that it lives by touching the file. */
async function beats(path: string, silence: number): Promise<boolean> {
  const first = await touchedAt(path)
  for (const until = Date.now() + silence; Date.now() < until; await delay(250)) {
    const now = await touchedAt(path)
    if (now !== first) return now !== undefined
  }
  return false
}

/** Something that differs for two processes with the same pid; null: no such process. */
function startOf(pid: number): string | null {
  if (process.platform === 'linux') {
    try {
      // Field 22, counted after the name, which may itself hold blanks and brackets: man 5 proc_pid_stat
      const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
        .replace(/^.*\) /s, '')
        .split(' ')
      if (fields[0] === 'Z') return null // killed and not yet collected by its parent
      return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()} ${fields[19]}`
    } catch (error) {
      if (hasCode(error, 'ENOENT', 'ESRCH')) return null
      throw error
    }
  }
  const ps = spawnSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8', timeout: 5000 })
  return ps.stdout.trim() || null
}

function place(): string {
  return `${hostname()} ${process.platform === 'linux' ? readlinkSync('/proc/self/ns/pid') : ''}`.trim()
}

async function create(path: string, holder: LockHolder): Promise<boolean> {
  const draft = await write(path, holder)
  try {
    await link(draft, path)
    return true
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false
    throw error
  } finally {
    await unlink(draft)
  }
}

async function replace(path: string, holder: LockHolder): Promise<void> {
  await rename(await write(path, holder), path)
}

async function write(path: string, holder: LockHolder): Promise<string> {
  const draft = `${path}.draft-${randomUUID()}`
  await writeFile(draft, `${JSON.stringify(holder)}\n`, { mode: 0o600, flag: 'wx', flush: true })
  return draft
}

async function read(path: string): Promise<LockHolder | null> {
  try {
    return holderSchema.parse(JSON.parse(await readFile(path, 'utf8')))
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return null
    throw new GuildError(
      'GUILD_INTERNAL',
      { why: `the lock ${path} cannot be read; remove it if no guild runs` },
      { cause: error },
    )
  }
}

async function beat(path: string): Promise<void> {
  const now = new Date()
  // A missing file is noticed, and reported, by `release` and `publish`.
  await utimes(path, now, now).catch((error: unknown) => {
    if (!hasCode(error, 'ENOENT')) throw error
  })
}

async function touchedAt(path: string): Promise<number | undefined> {
  try {
    const { mtimeMs, ino } = await stat(path)
    return mtimeMs + ino
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}

function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && codes.includes(error.code)
}
