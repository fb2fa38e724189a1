/** Compiles `src/` to `dist/` for publishing and images, and copies what the code reads beside itself (SQL, prompts, Lua, HTML). */
import { execFileSync } from 'node:child_process'
import { cpSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const asset = /\.(sql|lua|md|html|css|json|br)$/
rmSync(`${root}dist`, { recursive: true, force: true })
execFileSync('tsc', ['-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' })
cpSync(`${root}src`, `${root}dist`, { recursive: true, filter: (path) => !/\.[a-z]+$/.test(path) || asset.test(path) })
console.log('built dist/')
