import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { brotliDecompress } from 'node:zlib'
import { z } from 'zod'

/**
 * A freshly initialised database folder, packed: unpacking takes a third of a second where PostgreSQL's initdb in WebAssembly takes
 * five, and many more on a busy machine. Made by `npm run template`, one per version of PGlite.
 * Layout before Brotli: one line of JSON, the entries in order; then the bytes of all files. `size` is null for a folder.
 */
export const templateHeader = z.array(z.strictObject({ path: z.string(), size: z.int().min(0).nullable() }))

/** Where the template of the installed PGlite is, or would be. */
export function templatePath(): string {
  return fileURLToPath(new URL(`./template-${pgliteVersion()}.br`, import.meta.url))
}

/** Unpacks into a new folder. @returns false when none was made for the installed PGlite: then initdb must do it */
export async function unpackTemplate(folder: string): Promise<boolean> {
  const path = templatePath()
  if (!existsSync(path)) return false
  const bytes = await promisify(brotliDecompress)(await readFile(path))
  const end = bytes.indexOf('\n')
  const entries = templateHeader.parse(JSON.parse(bytes.subarray(0, end).toString()))
  await mkdir(folder, { mode: 0o700 })
  let at = end + 1
  for (const { path: name, size } of entries) {
    if (size === null) await mkdir(join(folder, name), { mode: 0o700 })
    else {
      await writeFile(join(folder, name), bytes.subarray(at, at + size), { mode: 0o600 })
      at += size
    }
  }
  return true
}

function pgliteVersion(): string {
  // The package exports no package.json; its entry lies in dist/.
  const entry = createRequire(import.meta.url).resolve('@electric-sql/pglite')
  const manifest = createRequire(import.meta.url)(join(dirname(entry), '..', 'package.json')) as { version: string }
  return manifest.version
}
