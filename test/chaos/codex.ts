import { execFile } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** The smallest Codex with an effect: for each issue opened one comment on that issue, by a rule. No model, so nothing is left to chance. */
const files: Readonly<Record<string, string>> = {
  'agents/herald.yaml': `apiVersion: guild/v1
kind: Agent
metadata: { name: herald, type: Herald, version: 1.0.0, owner: chaos }
spec:
  prompt: { system: prompts/herald.md }
  rules: rules/herald.yaml
  triggers:
    - { event: ISSUE_OPENED }
  tools: { actions: [{ type: GITHUB_COMMENT, autonomy: 2 }] }
`,
  'prompts/herald.md': 'You are the herald. Read the issue and greet its author.\n',
  'rules/herald.yaml': `apiVersion: guild/v1
kind: Rules
metadata: { name: herald }
spec:
  rules:
    - name: greet
      when: event.type == 'ISSUE_OPENED'
      do:
        - action: GITHUB_COMMENT
          args: { repo: '{{payload.repo}}', number: '{{payload.number}}', body: 'Noted, {{payload.title}}.' }
      summary: 'Greeted {{payload.repo}}#{{payload.number}}.'
`,
  'connectors/github.yaml': `apiVersion: guild/v1
kind: Connector
metadata: { name: github }
spec:
  system: github
  tools: { builtin: github }
`,
}

/** Writes and commits it. */
export async function writeCodex(folder: string): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), text)
  }
  const who = ['-c', 'user.name=Ada Byron', '-c', 'user.email=ada@example.org', '-c', 'commit.gpgsign=false']
  const env = { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null' }
  await run('git', ['-C', folder, 'init', '--quiet', '--initial-branch=main'], { env })
  await run('git', ['-C', folder, 'add', '--all'], { env })
  await run('git', ['-C', folder, ...who, 'commit', '--quiet', '-m', 'a herald'], { env })
}
