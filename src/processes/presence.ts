import { randomBytes } from 'node:crypto'
import { link, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { GuildError } from '../kernel/errors.ts'
import { Secret } from '../kernel/secret.ts'

const file = 'server.json'
const adminKeyFile = 'admin.key'
const presence = z.object({ pid: z.int(), url: z.url(), since: z.string() })
const probeMs = 2_000

/**
 * Tells commands on this machine where the server of this GUILD_HOME listens.
 * @param instance given where several servers share the home: each has a file of its own, and none takes away another's
 */
export async function announce(home: string, url: string, now: Date, instance?: string): Promise<void> {
  await mkdir(home, { recursive: true, mode: 0o700 })
  if (instance !== undefined) await forgetTheDead(home)
  await replaceFile(join(home, fileOf(instance)), JSON.stringify({ pid: process.pid, url, since: now.toISOString() }))
}

export async function withdraw(home: string, instance?: string): Promise<void> {
  const known = await readPresence(home, fileOf(instance))
  if (known?.pid === process.pid) await rm(join(home, fileOf(instance)), { force: true })
}

/** The URL of a server that this GUILD_HOME runs, if one answers there; a file left by a crash is not one. */
export async function runningAt(home: string): Promise<string | null> {
  for (const name of await presenceFiles(home)) {
    const url = await answeringAt(home, name)
    if (url !== null) return url
  }
  return null
}

async function forgetTheDead(home: string): Promise<void> {
  const names = await presenceFiles(home)
  await Promise.all(
    names.map(async (name) => {
      if ((await answeringAt(home, name)) === null) await rm(join(home, name), { force: true })
    }),
  )
}

async function presenceFiles(home: string): Promise<readonly string[]> {
  try {
    return (await readdir(home)).filter((name) => /^server(-[\w.-]+)?\.json$/.test(name)).toSorted()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return []
  }
}

async function answeringAt(home: string, name: string): Promise<string | null> {
  const known = await readPresence(home, name)
  if (!known) return null
  try {
    const response = await fetch(new URL('/healthz', known.url), { signal: AbortSignal.timeout(probeMs) })
    const body = z.object({ pid: z.int() }).safeParse(await response.json())
    // Another program may have taken the port since.
    return body.success && body.data.pid === known.pid ? known.url : null
  } catch {
    // Refused or silent: nobody is there, which is the answer.
    return null
  }
}

function fileOf(instance: string | undefined): string {
  return instance === undefined ? file : `server-${instance}.json`
}

/** The admin key of this GUILD_HOME, made on first use; readable by its owner only. Several processes may ask at once: one key. */
export async function localAdminKey(home: string): Promise<Secret> {
  return (await readAdminKey(home)) ?? makeAdminKey(home)
}

/** A new admin key in the place of one that has been revoked. */
export async function renewAdminKey(home: string, revoked: Secret): Promise<Secret> {
  const known = await readAdminKey(home)
  if (known && known.reveal() !== revoked.reveal()) return known
  await rm(join(home, adminKeyFile), { force: true })
  return makeAdminKey(home)
}

async function makeAdminKey(home: string): Promise<Secret> {
  const path = join(home, adminKeyFile)
  const temporary = `${path}.${process.pid}-${randomBytes(4).toString('hex')}`
  await mkdir(home, { recursive: true, mode: 0o700 })
  await writeFile(temporary, `guild_${randomBytes(32).toString('base64url')}\n`, { mode: 0o600, flag: 'wx' })
  try {
    // Appears whole or not at all, and never in the place of the key that another process has just made.
    await link(temporary, path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    await rm(temporary, { force: true })
  }
  const key = await readAdminKey(home)
  if (!key) throw new GuildError('GUILD_INTERNAL', { why: `the admin key in ${home} is gone again` })
  return key
}

async function readAdminKey(home: string): Promise<Secret | null> {
  try {
    const text = (await readFile(join(home, adminKeyFile), 'utf8')).trim()
    // An empty file is no key: it would open the door to an empty bearer.
    if (text === '') await rm(join(home, adminKeyFile), { force: true })
    return text === '' ? null : new Secret(text)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return null
  }
}

async function readPresence(home: string, name: string): Promise<z.infer<typeof presence> | null> {
  try {
    return presence.parse(JSON.parse(await readFile(join(home, name), 'utf8')))
  } catch {
    // Absent or half-written by a crash: both mean that nobody is known to be there.
    return null
  }
}

async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.${process.pid}`
  await writeFile(temporary, text, { mode: 0o600 })
  await rename(temporary, path)
}
