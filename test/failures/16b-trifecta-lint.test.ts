// Case 16 of runs.md 8, second half: … trifecta lint flags the agent.
//
// Mutations, each made by hand and seen to fail, then put back:
// - src/codex/load.ts: checkTrifecta not called: 11 tests, first “flags the agent” (`valid` is true), and “what serves refuses it”.
// - src/codex/trifecta.ts: events not counted as words of strangers: “flags the agent” (no `PR_OPENED from github` in the message).
// - src/codex/trifecta.ts: trust.minIntegrity not looked at: “a leg is cut when words of strangers are withheld”.
// - src/codex/trifecta.ts: only restricted data counts as private: 11 tests, first “flags the agent”.
// - src/codex/trifecta.ts: autonomy 2 counts as asked for: 11 tests, first “flags the agent”.
// - src/codex/ceilings.ts: a ceiling for some targets counts for all: “no leg is cut by a ceiling for other targets”.
// - src/codex/waivers.ts: expiry not looked at: “fails once it has expired”, “takes nothing down” (no warning).
// - src/codex/waivers.ts: 18 000 days allowed: “is refused for longer than 180 days”.
// - src/codex/waivers.ts: an expired waiver is an error also while serving: “takes nothing down” (no snapshot).
// At run time (src/guards/action-policy.test.ts): `within` not checked: “denies outside of its thread”; expiry of the waiver not checked:
// “asks once its waiver has expired”.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { lintCodex } from '../../src/codex/lint.ts'
import { aCodex, load } from '../codex-files.ts'

const now = new Date('2026-11-22T10:00:00Z')
const folders: string[] = []
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

describe('case 16, the lint', () => {
  it('trifecta lint flags the agent, with all three legs and how to cut each', async () => {
    const { valid, problems } = await lint(poisoned())
    expect(valid).toBe(false)
    expect(problems).toHaveLength(1)
    const [{ file, line, severity, message } = { file: '', line: 0, severity: '', message: '' }] = problems
    expect({ file, line, severity }).toEqual({ file: 'agents/scout.yaml', line: 26, severity: 'error' })
    expect(message).toContain('scout can be talked into carrying private data outside')
    expect(message).toContain('PR_OPENED from github (routing/events.yaml:7)')
    expect(message).toContain('github.get_issue, whose data is internal (agents/scout.yaml:22)')
    expect(message).toContain('GITHUB_COMMENT on * by itself (agents/scout.yaml:26)')
    for (const cut of ['trust.minIntegrity: member', 'dataClass: public', 'within: thread', 'autonomy: 1', 'waivers:'])
      expect(message).toContain(cut)
  })

  it('and what serves refuses it, too', () => {
    expect(load(poisoned(), { loadedAt: now }).snapshot).toBeNull()
  })

  it.each<[string, Change]>([
    ['words of strangers are withheld', { scout: (text) => `${text}  trust: { minIntegrity: member }\n` }],
    ['no model is asked', { scout: (text) => text.replace('[acme/smart, rules]', '[rules]') }],
    ['what it reads is public', { connector: (text) => `${text}  dataClass: public\n` }],
    ['what it reads is public to this tool', { connector: (text) => `${text}  toolClasses: { get_issue: public }\n` }],
    ['it may not read such data', { scout: (text) => `${text}  trust: { dataClasses: [public] }\n` }],
    ['it reads nothing', { scout: (text) => text.replace(/ {4}- \{ id: issue.*\n/, '') }],
    [
      'it answers where it was spoken to',
      { scout: (text) => text.replace('autonomy: 2', 'autonomy: 2, within: thread') },
    ],
    ['a person approves each time', { scout: (text) => text.replace('autonomy: 2', 'autonomy: 1') }],
    ['a policy makes a person approve', { policy: (text) => `${text}  autonomyMax: { GITHUB_COMMENT: 1 }\n` }],
    ['a ceiling for every target does', { policy: (text) => `${text}  ceilings: [{ type: 'GITHUB_*', max: 1 }]\n` }],
  ])('a leg is cut when %s', async (_, change) => {
    expect((await lint(poisoned(change))).problems.filter(({ severity }) => severity === 'error')).toEqual([])
  })

  it.each<[string, Change]>([
    [
      'a ceiling for other targets',
      { policy: (text) => `${text}  ceilings: [{ type: '*', targets: [a/*], max: 0 }]\n` },
    ],
    [
      'a class that is not public',
      { connector: (text) => `${text}  dataClass: sensitive\n  toolClasses: { get_issue: internal }\n` },
    ],
    [
      'words of the public left out, those of outsiders not',
      { scout: (text) => `${text}  trust: { minIntegrity: outsider }\n` },
    ],
  ])('no leg is cut by %s', async (_, change) => {
    expect((await lint(poisoned(change))).problems).toMatchObject([{ severity: 'error' }])
  })
})

describe('a waiver', () => {
  it.each<[string, string, 'error' | 'warning' | null, string]>([
    ['holds', '2027-03-01', null, ''],
    ['says so two weeks before its end', '2026-12-05', 'warning', 'ends in 14 day(s), on 2026-12-05'],
    ['holds through its last day', '2026-11-22', 'warning', 'ends in 1 day(s)'],
    ['fails once it has expired', '2026-11-21', 'error', 'the waiver of scout for trifecta expired on 2026-11-21'],
    ['is refused for longer than 180 days', '2027-05-22', 'error', 'a waiver lasts 180 days at most'],
  ])('%s', async (_, expires, severity, message) => {
    const { problems } = await lint(waived(expires))
    expect(problems.map((problem) => problem.severity)).toEqual(severity === null ? [] : [severity])
    expect(problems.map((problem) => problem.message).join()).toContain(message)
  })

  it('that expires while the Codex serves takes nothing down: the agent is restricted, and it says why', () => {
    const { snapshot, lines } = load(waived('2026-11-21'), { loadedAt: now })
    expect(snapshot?.agents.get('scout')?.waiver).toMatchObject({
      rule: 'policies/safe.yaml:12',
      until: new Date('2026-11-22T00:00:00Z'),
    })
    expect(lines).toEqual([
      'policies/safe.yaml:16: warning: the waiver of scout for trifecta expired on 2026-11-21: what scout writes needs an approval',
    ])
  })

  it('that nobody needs is to be taken out; one for nobody is an error', async () => {
    const idle = await lint(waived('2027-03-01', { scout: (text) => text.replace('autonomy: 2', 'autonomy: 1') }))
    expect(idle.problems).toMatchObject([{ severity: 'warning', message: expect.stringContaining('take it out') }])
    const stranger = await lint(
      waived('2027-03-01', { policy: (text) => text.replace('agent: scout', 'agent: scuot') }),
    )
    expect(stranger.problems.map(({ message }) => message).join()).toContain('did you mean “scout”')
  })
})

interface Change {
  readonly scout?: (text: string) => string
  readonly connector?: (text: string) => string
  readonly policy?: (text: string) => string
}

/** An agent with a model, woken by pull requests of anybody, that reads issues and comments where it likes. */
function poisoned({ scout, connector, policy }: Change = {}): Record<string, string> {
  const files = aCodex()
  const same = (text: string): string => text
  const agent = (files['agents/scout.yaml'] ?? '').replace('prefer: [rules]', 'prefer: [acme/smart, rules]')
  return {
    ...files,
    'agents/scout.yaml': (scout ?? same)(agent),
    'connectors/github.yaml': (connector ?? same)(files['connectors/github.yaml'] ?? ''),
    'policies/safe.yaml': (policy ?? same)(files['policies/safe.yaml'] ?? ''),
  }
}

function waived(expires: string, change: Change = {}): Record<string, string> {
  const add = (text: string): string => `${text}  waivers:
    - lint: trifecta
      agent: scout
      reason: two maintainers read what it says
      approvedBy: ada
      expires: ${expires}
`
  return poisoned({ ...change, policy: (text) => (change.policy ?? String)(add(text)) })
}

async function lint(files: Readonly<Record<string, string>>) {
  const folder = mkdtempSync(join(tmpdir(), 'guild-trifecta-'))
  folders.push(folder)
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
  return lintCodex(folder, { now, home: join(folder, '.home') })
}
