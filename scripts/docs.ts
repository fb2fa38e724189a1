/** Writes the pages that are generated from the code (`npm run docs`); with `--check` only compares, and fails on a difference. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { errorCatalogue } from '../src/kernel/errors.ts'
import { settingRows } from '../src/config/settings.ts'
import { generateSchemas } from '../src/codex/schemas.ts'
import { openapiDocument } from '../src/http/openapi.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const check = process.argv.includes('--check')
const pages = new Map<string, string>([
  ['docs/errors.md', errorsPage()],
  ['docs/settings.md', settingsPage()],
  ['docs/openapi.json', `${JSON.stringify(await openapiDocument(), null, 2)}\n`],
  ...Object.entries(generateSchemas()).map(([file, text]): [string, string] => [`docs/schemas/${file}`, text]),
])

const stale: string[] = []
for (const [file, text] of pages) {
  const path = `${root}${file}`
  if (read(path) === text) continue
  stale.push(file)
  if (check) continue
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
}
if (check && stale.length > 0) {
  console.error(`not what the code generates today: ${stale.join(', ')}. Run \`npm run docs\`.`)
  process.exitCode = 1
} else console.log(stale.length > 0 ? `wrote ${stale.join(', ')}` : `${pages.size} generated pages are fresh`)

function errorsPage(): string {
  const rows = Object.entries(errorCatalogue).map(
    ([code, entry]) =>
      `| \`${code}\` | ${entry.status} | ${entry.retryable ? 'yes' : 'no'} | ${cell(entry.message)} | ${cell(entry.fix)} |`,
  )
  return `# Errors

Generated from \`src/kernel/errors.ts\`. Branch on the code, never on the text. *Retryable* means that the same call may succeed later.

| code | HTTP | retryable | message | what to do |
| --- | --- | --- | --- | --- |
${rows.join('\n')}
`
}

function settingsPage(): string {
  const rows = Object.values(settingRows).map(
    (row) =>
      `| \`${row.env}\`${row.secret ? ` (or \`${row.env}_FILE\`)` : ''} | ${row.default ? `\`${row.default}\`` : ''} | ${cell(row.about)} |`,
  )
  return `# Settings

Generated from \`src/config/settings.ts\`. All come from the environment; \`guild config\` prints what is in force and where it came from.

| variable | default | what it does |
| --- | --- | --- |
${rows.join('\n')}
`
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('<', '&lt;')
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}
