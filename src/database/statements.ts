import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Statement } from './database.ts'

const marker = /^-- name: (\w+)[^\n]*$/gm

/**
 * Loads a `.sql` file whose statements each follow a line `-- name: claimInvocation`. The list of names is checked both ways, so
 * that a statement nobody uses and a name nobody wrote both fail at start.
 * @example const sql = statements(import.meta.url, './ledger.sql', ['reserve', 'settle'])
 */
export function statements<const Name extends string>(
  base: string,
  file: string,
  names: readonly Name[],
): Readonly<Record<Name, Statement>> {
  const path = fileURLToPath(new URL(file, base))
  const text = readFileSync(path, 'utf8')
  const found = new Map<string, Statement>()
  const marks = [...text.matchAll(marker)]
  for (const [index, mark] of marks.entries()) {
    const name = mark[1] ?? ''
    if (found.has(name)) throw new Error(`${path}: two statements are named ${name}`)
    const body = text.slice(mark.index + mark[0].length, marks[index + 1]?.index ?? text.length).trim()
    found.set(name, { name: `${file.replace(/^.*\/|\.sql$/g, '')}.${name}`, text: body.replace(/;$/, '') })
  }
  const missing = names.filter((name) => !found.has(name))
  const unused = [...found.keys()].filter((name) => !(names as readonly string[]).includes(name))
  if (missing.length > 0) throw new Error(`${path}: no statement named ${missing.join(', ')}`)
  if (unused.length > 0) throw new Error(`${path}: nobody uses ${unused.join(', ')}`)
  return Object.fromEntries(found) as Record<Name, Statement>
}
