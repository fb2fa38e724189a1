import { Ajv2020 } from 'ajv/dist/2020.js'
import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { kindFolders } from './documents.ts'
import { initCodex, sampleCodexFolder } from './init.ts'
import { lintCodex } from './lint.ts'
import { generateSchemas } from './schemas.ts'
import { readFolder } from './source.ts'

const folders: string[] = []
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'codex test '))
  folders.push(made)
  return made
}

// As an editor does it, with all that a browser's patterns can say.
const editor = new Ajv2020({ strict: false, validateFormats: false, addUsedSchema: false })

describe('the sample Codex', () => {
  it('lints clean, and its own tests pass', async () => {
    // A copy has no last commit to be compared with, so an edit in progress does not fail here.
    const copy = folder()
    cpSync(sampleCodexFolder, copy, { recursive: true })
    const lint = await lintCodex(copy)
    expect(lint.problems).toEqual([])
    expect(lint.agents).toBeGreaterThanOrEqual(5)
    expect(lint.tests).toBeGreaterThan(20)
  })

  it('fits the schemas that editors read, and names them', async () => {
    const { files } = await readFolder(sampleCodexFolder)
    const schemas = generateSchemas()
    for (const [file, text] of files) {
      const kind = kindFolders[file.slice(0, file.indexOf('/'))]
      if (!kind || !file.endsWith('.yaml')) continue
      const name = `${kind.toLowerCase()}.json`
      expect(text.split('\n')[0]).toBe(`# yaml-language-server: $schema=../../docs/schemas/${name}`)
      const validate = editor.compile(JSON.parse(schemas[name] ?? ''))
      expect([file, validate(parse(text)) ? [] : validate.errors]).toEqual([file, []])
    }
  })

  it('is what `guild codex init` starts with, as a commit', async () => {
    const made = await initCodex(join(folder(), 'mine'))
    expect(execFileSync('git', ['-C', made.folder, 'rev-parse', 'HEAD'], { encoding: 'utf8' }).trim()).toBe(made.commit)
    expect((await lintCodex(`${made.folder}#HEAD`)).problems).toEqual([])
    expect(made.files).toBeGreaterThan(30)
  })

  it('is not copied over what is there', async () => {
    const full = folder()
    writeFileSync(join(full, 'mine.txt'), '')
    await expect(initCodex(full)).rejects.toMatchObject({ code: 'GUILD_CODEX_UNAVAILABLE' })
  })
})

describe('lintCodex', () => {
  it('says which test does not hold, where and why', async () => {
    const copy = folder()
    cpSync(sampleCodexFolder, copy, { recursive: true })
    const rules = join(copy, 'rules/sentinel.yaml')
    writeFileSync(rules, readFileSync(rules, 'utf8').replace('add: [size/S]', 'add: [size/XS]'))
    const { problems, valid, results } = await lintCodex(copy)
    expect(valid).toBe(true)
    expect(results.filter(({ failures }) => failures.length > 0).map(({ name }) => name)).toContain(
      'small-tested-change',
    )
    expect(problems[0]).toMatchObject({
      severity: 'error',
      file: 'tests/sentinel.yaml',
      message: 'test small-tested-change: sentinel: GITHUB_LABEL.add is ["size/XS"], not ["size/S"]',
    })
  })

  it('says that the version must rise, compared with the last commit', async () => {
    const { folder: mine } = await initCodex(join(folder(), 'mine'))
    const prompt = join(mine, 'prompts/ranger.md')
    writeFileSync(prompt, `${readFileSync(prompt, 'utf8')}\nMore.\n`)
    const { problems } = await lintCodex(mine)
    expect(problems).toMatchObject([{ severity: 'error', file: 'agents/ranger.yaml' }])
    expect(problems[0]?.message).toMatch(/changed and the version did not rise .*: it was (\S+), it is \1$/)
    // Also when it has been committed, as a build server finds it; and against any commit that is named.
    execFileSync('git', ['-C', mine, '-c', 'user.name=a', '-c', 'user.email=a@b', 'commit', '-qam', 'more'])
    const committed = await lintCodex(mine)
    expect(committed.problems).toEqual(problems)
    expect((await lintCodex(mine, { base: 'HEAD~1' })).comparedWith).toBe(committed.comparedWith)
    expect((await lintCodex(mine, { base: 'HEAD' })).problems).toEqual([])
    await expect(lintCodex(mine, { base: 'nowhere' })).rejects.toMatchObject({ code: 'GUILD_CODEX_UNAVAILABLE' })
  })
})
