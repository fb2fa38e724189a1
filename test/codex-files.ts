import { loadCodex, type LoadedCodex, type LoadOptions } from '../src/codex/load.ts'
import { problemLine } from '../src/codex/report.ts'

/** A small Codex in which everything refers to something; for tests. */
export function aCodex(): Record<string, string> {
  return {
    'agents/scout.yaml': `apiVersion: guild/v1
kind: Agent
metadata:
  name: scout
  type: Scout
  description: looks ahead
  version: 1.0.0
  owner: us
spec:
  capabilities: [SCOUTING]
  prompt:
    # who it is
    system: prompts/scout.md
    rules: [policies/kind.md]
    output: schemas/out.json
  rules: rules/scout.yaml
  model: { prefer: [rules] }
  triggers:
    - { event: ISSUE_OPENED, where: payload.number > 0 }
    - { manual: true }
  context:
    - { id: issue, tool: github.get_issue, args: { number: '{{payload.number}}' }, when: event.type == 'PR_OPENED', maxTokens: 900 }
    - { id: radar, codex: state/radar.json }
  tools:
    actions:
      - { type: GITHUB_COMMENT, autonomy: 2, when: payload.number > 0 }
`,
    'prompts/scout.md': 'You scout.\n',
    'policies/kind.md': 'Be kind.\n',
    'policies/safe.yaml': `apiVersion: guild/v1
kind: Policy
metadata:
  name: safe
spec:
  deny:
    - name: nothing-public
      action: '*'
      when: action.type == 'PUBLISH'
      reason: not yet
`,
    'schemas/out.json': '{ "type": "object" }',
    'state/radar.json': '{}',
    'rules/scout.yaml': `apiVersion: guild/v1
kind: Rules
metadata:
  name: scout
spec:
  rules:
    - name: small
      when: payload.number < 9
      do:
        - action: GITHUB_COMMENT
          args: { number: '{{payload.number}}', body: 'Seen {{payload.title}}' }
      summary: 'Looked at {{payload.number}}.'
`,
    'routing/events.yaml': `apiVersion: guild/v1
kind: Routing
metadata:
  name: events
spec:
  rules:
    - name: opened
      event_type: PR_OPENED
      source: github
      where: payload.number > 0
      target_agents: [Scout]
      priority: HIGH
`,
    'chapters/web.yaml': `apiVersion: guild/v1
kind: Chapter
metadata:
  name: web
spec:
  repositories: ['*/web']
`,
    'connectors/github.yaml': `apiVersion: guild/v1
kind: Connector
metadata:
  name: github
spec:
  system: github
  tools: { builtin: github }
`,
    'providers/acme.yaml': `apiVersion: guild/v1
kind: Provider
metadata:
  name: acme
spec:
  api: openai-compatible
  key: ACME_KEY
  models:
    - { alias: smart, model: acme-1 }
`,
  }
}

/** A manifest like the fixture's, under another name, type and chapter. */
export function aScout(name: string, type: string, chapter?: string): string {
  const text = aCodex()['agents/scout.yaml'] ?? ''
  const home = chapter === undefined ? '' : `\n  chapter: ${chapter}`
  return text.replace('name: scout', `name: ${name}`).replace('type: Scout', `type: ${type}${home}`)
}

export function load(
  files: Readonly<Record<string, string>>,
  options: Partial<LoadOptions> = {},
): LoadedCodex & { readonly lines: readonly string[] } {
  const loaded = loadCodex(
    { commit: 'c0ffee'.padEnd(40, '0'), files: new Map(Object.entries(files)), problems: [] },
    {
      loadedAt: new Date('2026-01-01T00:00:00Z'),
      actionTypes: ['GITHUB_COMMENT', 'GITHUB_ISSUE', 'GITHUB_LABEL'],
      ...options,
    },
  )
  return { ...loaded, lines: loaded.problems.map(problemLine) }
}
