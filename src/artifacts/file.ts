import { randomUUID } from 'node:crypto'
import { mkdir, readFile, readdir, rename, rm, rmdir, stat, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { GuildError } from '../kernel/errors.ts'
import type { Artifacts } from './artifacts.ts'

const draftMark = '.draft-'
const segment = /^[\w@+=][\w@+=. :-]*$/

/** Artifacts as files below a folder, readable by their owner only. */
export class FileArtifacts implements Artifacts {
  readonly #root: string

  constructor(root: string) {
    this.#root = resolve(root)
  }

  async write(path: string, content: string | Uint8Array): Promise<void> {
    const target = this.#locate(path)
    try {
      await replace(target, content)
    } catch (error) {
      if (!isMissing(error)) throw error
      // The first file of its folder, or the folder was emptied and removed.
      await mkdir(dirname(target), { recursive: true, mode: 0o700 })
      await replace(target, content)
    }
  }

  async read(path: string): Promise<Uint8Array | null> {
    try {
      return await readFile(this.#locate(path))
    } catch (error) {
      if (isMissing(error)) return null
      throw error
    }
  }

  async remove(path: string): Promise<void> {
    await rm(this.#locate(path), { force: true })
  }

  /** By the time of the last write; drafts that a killed process left behind and empty folders go too, but are not counted. */
  async removeOlderThan(prefix: string, date: Date): Promise<number> {
    return this.#sweep(this.#locate(prefix), date)
  }

  async #sweep(folder: string, date: Date): Promise<number> {
    let removed = 0
    for (const entry of await list(folder)) {
      const path = join(folder, entry.name)
      if (entry.isDirectory()) removed += await this.#sweep(path, date)
      else if (entry.isFile() && (await writtenBefore(path, date))) {
        await rm(path, { force: true })
        if (!entry.name.includes(draftMark)) removed += 1
      }
    }
    if (removed > 0) await removeIfEmpty(folder)
    return removed
  }

  /** Names come from ids and dates, but some of those come from outside. @throws GUILD_REQUEST_INVALID */
  #locate(path: string): string {
    const segments = path.replace(/\/$/, '').split('/')
    if (path.length <= 1024 && segments.every((name) => segment.test(name) && !name.includes(draftMark)))
      return join(this.#root, ...segments)
    throw new GuildError('GUILD_REQUEST_INVALID', { why: `${JSON.stringify(path.slice(0, 200))} is no artifact path` })
  }
}

async function replace(target: string, content: string | Uint8Array): Promise<void> {
  const draft = `${target}${draftMark}${randomUUID()}`
  try {
    // flush: a rename that reaches the disk before the content would leave an empty file after a power cut.
    await writeFile(draft, content, { mode: 0o600, flag: 'wx', flush: true })
    await rename(draft, target)
  } catch (error) {
    await rm(draft, { force: true })
    throw error
  }
}

async function list(folder: string) {
  try {
    return await readdir(folder, { withFileTypes: true })
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}

async function writtenBefore(path: string, date: Date): Promise<boolean> {
  try {
    return (await stat(path)).mtimeMs < date.getTime()
  } catch (error) {
    // A draft that became its file in the meantime.
    if (isMissing(error)) return false
    throw error
  }
}

async function removeIfEmpty(folder: string): Promise<void> {
  try {
    await rmdir(folder)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && (error.code === 'ENOTEMPTY' || error.code === 'EEXIST')))
      throw error
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')
}
