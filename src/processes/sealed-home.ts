import { mkdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

const file = 'rehearsal'

/**
 * Marks a home as a rehearsal's: whatever opens it later (`guild approve`, `guild up --home …`) stays sealed and in shadow, also when
 * the environment of that day says live. A proposal about yesterday's history must never be sent by accident.
 */
export async function sealHome(home: string): Promise<void> {
  await mkdir(home, { recursive: true, mode: 0o700 })
  await writeFile(
    join(home, file),
    'This folder belongs to a rehearsal (guild demo, guild try): nothing in it is ever sent.\n',
  )
}

export async function isSealed(home: string): Promise<boolean> {
  try {
    return (await stat(join(home, file))).isFile()
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false
    throw error
  }
}
