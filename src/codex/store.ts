import { randomUUID } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { z } from 'zod'
import { sha256 } from '../kernel/ids.ts'
import type { CodexFiles } from './files.ts'

const keptMax = 50
const stored = z.object({ commit: z.string(), files: z.array(z.tuple([z.string(), z.string()])) })
const lastGood = z.object({ commit: z.string() })

/**
 * Texts of the commits that have served, below GUILD_HOME: a run pinned to one goes on after an amend, a force push, an edited
 * folder or a restart without the network. The newest fifty by use are kept.
 */
export class CodexStore {
  readonly #folder: string
  readonly #pointer: string

  constructor(home: string, url: string) {
    this.#folder = join(resolve(home), 'codex', 'commits')
    this.#pointer = join(resolve(home), 'codex', `last-good-${sha256(url).slice(0, 16)}.json`)
  }

  async put({ commit, files }: CodexFiles): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 })
    await replace(this.#file(commit), JSON.stringify({ commit, files: [...files] }))
    await replace(this.#pointer, JSON.stringify({ commit }))
    await this.#prune()
  }

  async get(commit: string): Promise<CodexFiles | null> {
    const file = this.#file(commit)
    const found = stored.safeParse(await readJson(file))
    if (!found.success || found.data.commit !== commit) return null
    await unlessGone(utimes(file, new Date(), new Date()))
    return { commit, files: new Map(found.data.files), problems: [] }
  }

  /** The commit that served last from this place. */
  async lastGood(): Promise<string | null> {
    const found = lastGood.safeParse(await readJson(this.#pointer))
    return found.success ? found.data.commit : null
  }

  #file(commit: string): string {
    return join(this.#folder, `${commit.replaceAll(/[^\w-]/g, '_')}.json`)
  }

  async #prune(): Promise<void> {
    const names = (await readdir(this.#folder)).filter((name) => name.endsWith('.json'))
    if (names.length <= keptMax) return
    const ages = await Promise.all(
      names.map(async (name) => ({ name, at: (await unlessGone(stat(join(this.#folder, name))))?.mtimeMs ?? 0 })),
    )
    const old = ages.toSorted((a, b) => b.at - a.at).slice(keptMax)
    await Promise.all(old.map(async ({ name }) => await rm(join(this.#folder, name), { force: true })))
  }
}

/** Another process of this home may have pruned the file a moment ago. */
async function unlessGone<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

/** A reader sees the old file or the new one, never half of one. */
async function replace(file: string, text: string): Promise<void> {
  const draft = `${file}.${randomUUID()}.tmp`
  await writeFile(draft, text, { mode: 0o600 })
  await rename(draft, file)
}

/** Undefined for what is absent or broken: the source is asked instead. */
async function readJson(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, 'utf8'))
  } catch (error) {
    if (error instanceof SyntaxError || (error instanceof Error && 'code' in error && error.code === 'ENOENT'))
      return undefined
    throw error
  }
}
