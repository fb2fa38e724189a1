/** Packs a freshly initialised embedded database for `src/database/pglite/template.ts`: run it after each update of PGlite. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { brotliCompressSync, constants } from 'node:zlib'
import { LocalEngine } from '../src/database/pglite/engine.ts'
import { templatePath } from '../src/database/pglite/template.ts'

const scratch = await mkdtemp(join(tmpdir(), 'guild-template-'))
const folder = join(scratch, 'db')
const engine = await LocalEngine.open({ folder }, () => undefined)
await engine.script('CHECKPOINT')
await engine.close()

const found = await readdir(folder, { recursive: true, withFileTypes: true })
const entries = found
  .map((entry) => ({ full: join(entry.parentPath, entry.name), folder: entry.isDirectory() }))
  .filter(({ full }) => !full.endsWith('postmaster.pid'))
  .map((entry) => ({ ...entry, path: relative(folder, entry.full) }))
  // A folder sorts before what lies in it.
  .sort((a, b) => (a.path < b.path ? -1 : 1))
const contents = await Promise.all(entries.map(async (entry) => (entry.folder ? null : await readFile(entry.full))))
const header = entries.map(({ path }, at) => ({ path, size: contents[at]?.length ?? null }))
const packed = brotliCompressSync(
  Buffer.concat([Buffer.from(`${JSON.stringify(header)}\n`), ...contents.filter((one) => one !== null)]),
  {
    params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 24 },
  },
)
const path = templatePath()
for (const name of await readdir(dirname(path))) if (/^template-.*\.br$/.test(name)) await rm(join(dirname(path), name))
await writeFile(path, packed)
await rm(scratch, { recursive: true })
console.log(`${path}: ${packed.length} bytes`)
process.exit(0)
