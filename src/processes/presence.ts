import { randomBytes } from 'node:crypto'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { Secret } from '../kernel/secret.ts'

const file = 'server.json'
const presence = z.object({ pid: z.int(), url: z.url(), since: z.string() })
const probeMs = 2_000

/** Tells commands on this machine where the server of this GUILD_HOME listens. */
export async function announce(home: string, url: string, now: Date): Promise<void> {
  await mkdir(home, { recursive: true, mode: 0o700 })
  await replaceFile(join(home, file), JSON.stringify({ pid: process.pid, url, since: now.toISOString() }))
}

export async function withdraw(home: string): Promise<void> {
  const known = await readPresence(home)
  if (known?.pid === process.pid) await rm(join(home, file), { force: true })
}

/** The URL of the server that this GUILD_HOME runs, if one answers there; a file left by a crash is not one. */
export async function runningAt(home: string): Promise<string | null> {
  const known = await readPresence(home)
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

/** The admin key of this GUILD_HOME, made on first use; readable by its owner only. */
export async function localAdminKey(home: string): Promise<Secret> {
  const path = join(home, 'admin.key')
  try {
    return new Secret((await readFile(path, 'utf8')).trim())
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  const key = `guild_${randomBytes(32).toString('base64url')}`
  await mkdir(home, { recursive: true, mode: 0o700 })
  await writeFile(path, `${key}\n`, { mode: 0o600, flag: 'wx' })
  return new Secret(key)
}

async function readPresence(home: string): Promise<z.infer<typeof presence> | null> {
  try {
    return presence.parse(JSON.parse(await readFile(join(home, file), 'utf8')))
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
