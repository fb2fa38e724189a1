import { cp, mkdir, readdir } from 'node:fs/promises'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { GuildError, reasonOf } from '../kernel/errors.ts'
import { commitOf, git, GitFailure } from './git.ts'
import { readFolder } from './source.ts'

export interface NewCodex {
  readonly folder: string
  readonly files: number
  readonly commit: string
}

/** The sample Codex that is shipped with the product. */
export const sampleCodexFolder = fileURLToPath(new URL('../../codex', import.meta.url))

/**
 * Copies the sample Codex into a new or empty folder and commits it.
 * @throws GUILD_CODEX_UNAVAILABLE when the folder holds something, or git cannot commit (the files are there then)
 */
export async function initCodex(path: string): Promise<NewCodex> {
  const folder = resolve(path)
  await mkdir(folder, { recursive: true })
  const inside = (await readdir(folder)).filter((name) => name !== '.git')
  if (inside.length > 0) {
    throw new GuildError('GUILD_CODEX_UNAVAILABLE', {
      url: folder,
      why: `the folder is not empty (${inside.slice(0, 3).join(', ')}); choose a new one`,
    })
  }
  await cp(sampleCodexFolder, folder, { recursive: true, filter: (from) => !/[\\/]\.git([\\/]|$)/.test(from) })
  const { files } = await readFolder(folder)
  try {
    return { folder, files: files.size, commit: await firstCommit(folder) }
  } catch (error) {
    if (!(error instanceof GitFailure)) throw error
    const why = `the files are there, but git could not commit them: ${reasonOf(error)}`
    throw new GuildError('GUILD_CODEX_UNAVAILABLE', { url: folder, why }, { cause: error })
  }
}

async function firstCommit(folder: string): Promise<string> {
  await git(['-c', 'init.defaultBranch=main', 'init', '--quiet', '--', folder])
  await git(['-C', folder, 'add', '--all'])
  const message = 'feat(codex): begin with the sample Codex'
  await git(['-C', folder, ...(await identity(folder)), 'commit', '--quiet', '--no-gpg-sign', '-m', message])
  return (await commitOf(folder, 'HEAD')) ?? ''
}

/** Theirs where git knows one; a new machine has none, and git would refuse to commit. */
async function identity(folder: string): Promise<readonly string[]> {
  try {
    await git(['-C', folder, 'config', '--get', 'user.email'])
    return []
  } catch (error) {
    if (!(error instanceof GitFailure)) throw error
    return ['-c', 'user.name=guild', '-c', 'user.email=guild@localhost']
  }
}
