import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, vi } from 'vitest'
import { main } from '../src/cli/main.ts'
import { errorCatalogue } from '../src/kernel/errors.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const pages = [
  'README.md',
  'ARCHITECTURE.md',
  'CONTRIBUTING.md',
  ...readdirSync(`${root}docs`)
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
]
const text = (page: string) => readFileSync(`${root}${page}`, 'utf8')

describe('the documentation', () => {
  it('lists every error of the catalogue, and none that does not exist', () => {
    const listed = [...text('docs/errors.md').matchAll(/`(GUILD_[A-Z_]+)`/g)].map((match) => match[1])
    expect(new Set(listed)).toEqual(new Set(Object.keys(errorCatalogue)))
  })

  it('names only errors that exist', () => {
    const known = new Set<string>(Object.keys(errorCatalogue))
    const settings = text('docs/settings.md')
    const wrong = pages.flatMap((page) =>
      [...text(page).matchAll(/\bGUILD_[A-Z_]+\b/g)]
        .map((match) => match[0])
        .filter((name) => !known.has(name) && !settings.includes(name))
        .map((name) => `${page}: ${name}`),
    )
    expect(wrong.filter((line) => !/GUILD_TEST_REQUIRE|GUILD_(LLM|CODEX|BUDGET|TOOL)_$/.test(line))).toEqual([])
  })

  it('types only commands that exist', async () => {
    const commands = new Set(
      pages.flatMap((page) =>
        [
          ...text(page).matchAll(
            /(?:^ *|`|npx )guild ([a-z]+)(?: (init|lint|verify|show|create|revoke|github))?(?=[\s`])/gm,
          ),
        ].map((match) => [match[1], match[2]].filter(Boolean).join(' ')),
      ),
    )
    expect(commands.size).toBeGreaterThan(12)
    const unknown: string[] = []
    const out = vi.spyOn(process.stdout, 'write').mockReturnValue(true)
    try {
      for (const command of commands) {
        out.mockClear()
        await main([...command.split(' '), '--help'])
        // What does not exist is answered with the help of what stands above it.
        if (!String(out.mock.calls[0]?.[0]).startsWith(`Usage: guild ${command} `)) unknown.push(command)
      }
    } finally {
      out.mockRestore()
    }
    expect(unknown).toEqual([])
  })

  it('links only to files that exist', () => {
    const wrong = pages.flatMap((page) =>
      [...text(page).matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)]
        .map((match) => match[1] ?? '')
        .filter((target) => {
          const base = page.includes('/') ? `${root}docs/` : root
          try {
            readdirSync(`${base}${target}`)
            return false
          } catch (error) {
            return (error as NodeJS.ErrnoException).code === 'ENOENT'
          }
        })
        .map((target) => `${page} → ${target}`),
    )
    expect(wrong).toEqual([])
  })
})
