import { execFile } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { temporary } from './process.ts'

const run = promisify(execFile)

/** A Git repository in a temporary folder; tests write their Codex, or any history, into it. */
export class Repository {
  readonly folder: string

  static async init(name: string): Promise<Repository> {
    const repository = new Repository(await temporary(name))
    await repository.git('init', '--quiet', '--initial-branch=main')
    return repository
  }

  private constructor(folder: string) {
    this.folder = folder
  }

  /** Writes and commits; a date makes the commit old. @returns its id */
  async commit(files: Readonly<Record<string, string>>, message = 'a change', date?: Date): Promise<string> {
    for (const [path, text] of Object.entries(files)) {
      await mkdir(dirname(join(this.folder, path)), { recursive: true })
      await writeFile(join(this.folder, path), text)
    }
    await this.git('add', '--all')
    await this.gitAt(date, 'commit', '--quiet', '--allow-empty', '-m', message)
    return this.git('rev-parse', 'HEAD')
  }

  async git(...args: readonly string[]): Promise<string> {
    return this.gitAt(undefined, ...args)
  }

  async gitAt(date: Date | undefined, ...args: readonly string[]): Promise<string> {
    const when = date && { GIT_AUTHOR_DATE: date.toISOString(), GIT_COMMITTER_DATE: date.toISOString() }
    const who = ['-c', 'user.name=Ada Byron', '-c', 'user.email=ada@example.org', '-c', 'commit.gpgsign=false']
    const { stdout } = await run('git', ['-C', this.folder, ...who, ...args], {
      env: { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null', ...when },
    })
    return stdout.trim()
  }
}

export interface HeraldSpec {
  /** lines of `spec`, indented by two */
  readonly spec?: string
  readonly rules?: boolean
  readonly body?: string
  readonly version?: string
}

/** The smallest Codex that does something: the herald comments on every pull request opened. */
export function heraldCodex({
  spec = '',
  rules = true,
  body = 'Welcome, {{payload.title}}.',
  version = '1.0.0',
}: HeraldSpec = {}): Record<string, string> {
  return {
    'agents/herald.yaml': `apiVersion: guild/v1
kind: Agent
metadata: { name: herald, type: Herald, version: ${version}, owner: us }
spec:
  prompt: { system: prompts/herald.md }
${rules ? '  rules: rules/herald.yaml\n' : ''}  triggers:
    - { event: PR_OPENED }
${spec || '  tools: { actions: [{ type: GITHUB_COMMENT, autonomy: 2 }] }'}
`,
    'prompts/herald.md': 'You are the herald. Read the pull request and greet its author.\n',
    ...(rules && { 'rules/herald.yaml': heraldRules(body) }),
    'connectors/github.yaml': `apiVersion: guild/v1
kind: Connector
metadata: { name: github }
spec:
  system: github
  tools: { builtin: github }
`,
  }
}

function heraldRules(body: string): string {
  return `apiVersion: guild/v1
kind: Rules
metadata: { name: herald }
spec:
  rules:
    - name: greet
      when: event.type == 'PR_OPENED'
      do:
        - action: GITHUB_COMMENT
          args: { repo: '{{payload.repo}}', number: '{{payload.number}}', body: '${body}' }
      summary: 'Greeted {{payload.repo}}#{{payload.number}}.'
`
}
