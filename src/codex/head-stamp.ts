import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'

export interface GitFolders {
  /** of this work tree: holds HEAD */
  readonly own: string
  /** shared by all work trees: holds the branches */
  readonly common: string
}

/**
 * What the files that name a branch's commit look like now, as one text: while it stays the same, so does the commit. Costs two small
 * reads where `git rev-parse` costs a process, which matters for something looked at every few seconds.
 * @returns null where these files do not tell (other ref storage): then git must be asked
 */
export async function headStamp({ own, common }: GitFolders, branch: string | null): Promise<string | null> {
  const head = branch === null ? await textOf(join(own, 'HEAD')) : `ref: refs/heads/${branch}`
  if (head === null) return null
  const ref = /^ref: (refs\/\S+)/.exec(head)?.[1]
  if (ref === undefined) return `detached ${head.trim()}`
  const loose = await textOf(join(common, ref))
  if (loose !== null) return `${ref} ${loose.trim()}`
  const packed = await stat(join(common, 'packed-refs')).catch(() => null) // no such file: the refs are stored elsewhere
  return packed && `${ref} packed ${packed.mtimeMs} ${packed.size} ${packed.ino}`
}

async function textOf(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'EISDIR')) return null
    throw error
  }
}
