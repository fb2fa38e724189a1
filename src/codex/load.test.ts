import { describe, expect, it } from 'vitest'
import { aCodex, load } from '../../test/codex-files.ts'

describe('loadCodex', () => {
  it('compiles a whole Codex', () => {
    const { snapshot, problems } = load(aCodex())
    expect(problems).toEqual([])
    const agent = snapshot?.agents.get('scout')
    expect(agent?.system).toBe('You scout.\n\nBe kind.')
    expect(agent?.rules.map(({ name }) => name)).toEqual(['small'])
    expect(agent?.conditions.has("event.type == 'PR_OPENED'")).toBe(true)
    expect(agent?.files).toEqual({ 'state/radar.json': '{}' })
    expect(agent?.place).toEqual({ file: 'agents/scout.yaml', line: 4 })
    expect(agent?.output).toEqual({ type: 'object' })
    expect(snapshot?.routes.map(({ rule, place }) => `${rule} ${place.line}`)).toEqual([
      'routing/events.yaml#opened 7',
      'agents/scout.yaml#trigger-0 19',
    ])
    expect([...(snapshot?.rulesFiles.keys() ?? [])]).toEqual(['rules/scout.yaml'])
  })

  it('gives the same content the same hash, and other content another', () => {
    const hashOf = (files: Record<string, string>) => load(files).snapshot?.hash
    expect(hashOf(aCodex())).toBe(hashOf(aCodex()))
    expect(hashOf({ ...aCodex(), 'prompts/scout.md': 'Other' })).not.toBe(hashOf(aCodex()))
    expect(hashOf({ ...aCodex(), 'adr/001.md': 'A note' })).toBe(hashOf(aCodex()))
  })

  it.each<[what: string, file: string, from: string | RegExp, to: string, problem: string]>([
    [
      'an unknown field',
      'agents/scout.yaml',
      'owner: us',
      'ownr: us',
      'agents/scout.yaml:8: unknown field “ownr”; did you mean “owner”?',
    ],
    [
      'a missing field',
      'agents/scout.yaml',
      '  owner: us\n',
      '',
      'agents/scout.yaml:3: metadata.owner: is missing (string)',
    ],
    [
      'a wrong value',
      'agents/scout.yaml',
      'version: 1.0.0',
      'version: one',
      'agents/scout.yaml:7: metadata.version: must be semver, not “one”',
    ],
    [
      'an unknown field in a list',
      'agents/scout.yaml',
      'maxTokens: 900',
      'maxToken: 900',
      'agents/scout.yaml:22: unknown field “maxToken”; did you mean “maxTokens”?',
    ],
    [
      'an unknown priority',
      'routing/events.yaml',
      'priority: HIGH',
      'priority: HIHG',
      'routing/events.yaml:12: spec.rules[0].priority: “HIHG” is not one of CRITICAL, HIGH, NORMAL, LOW, BACKGROUND; did you mean “HIGH”?',
    ],
    [
      'a wrong version of the format',
      'chapters/web.yaml',
      'guild/v1',
      'guild/v2',
      'chapters/web.yaml:1: apiVersion: “guild/v2” is not one of guild/v1; did you mean “guild/v1”?',
    ],
    [
      'a kind in the wrong folder',
      'chapters/web.yaml',
      'kind: Chapter',
      'kind: Agent',
      'chapters/web.yaml:2: this folder holds Chapter, not "Agent"; its place is agents/',
    ],
    [
      'a name that is not the file’s',
      'chapters/web.yaml',
      'name: web',
      'name: wob',
      'chapters/web.yaml:4: the name “wob” differs from the file’s name “web”',
    ],
    ['broken YAML', 'chapters/web.yaml', 'kind: Chapter', 'kind: [Chapter', 'chapters/web.yaml:3: '],
    [
      'a key that stands twice',
      'chapters/web.yaml',
      'kind: Chapter',
      'kind: Chapter\nkind: Chapter',
      'chapters/web.yaml:3: Map keys must be unique',
    ],
    ['an empty file', 'chapters/web.yaml', /[\s\S]*/, '', 'chapters/web.yaml:1: '],
    [
      'aliases that unfold for ever',
      'chapters/web.yaml',
      /[\s\S]*/,
      bomb(),
      'chapters/web.yaml:1: it cannot be read: Excessive alias count',
    ],
    [
      'a missing prompt',
      'agents/scout.yaml',
      'prompts/scout.md',
      'prompts/scuot.md',
      'agents/scout.yaml:13: there is no file “prompts/scuot.md”; did you mean “prompts/scout.md”?',
    ],
    [
      'a missing house rule',
      'agents/scout.yaml',
      '[policies/kind.md]',
      '[policies/kin.md]',
      'agents/scout.yaml:14: there is no file “policies/kin.md”; did you mean “policies/kind.md”?',
    ],
    [
      'a broken output schema',
      'schemas/out.json',
      '"object"',
      '"objct"',
      'agents/scout.yaml:15: schemas/out.json is no JSON Schema: ',
    ],
    [
      'an output schema that is no JSON',
      'schemas/out.json',
      '{',
      '',
      'agents/scout.yaml:15: schemas/out.json is no JSON Schema: ',
    ],
    [
      'a missing file of rules',
      'agents/scout.yaml',
      'rules/scout.yaml',
      'rules/scoot.yaml',
      'agents/scout.yaml:16: there is no file of rules “rules/scoot.yaml”; did you mean “rules/scout.yaml”?',
    ],
    [
      'a model nobody offers',
      'agents/scout.yaml',
      'prefer: [rules]',
      'prefer: [acme/smrt]',
      'agents/scout.yaml:17: there is no model “acme/smrt”; did you mean “acme/smart”?',
    ],
    [
      'a chapter nobody founded',
      'agents/scout.yaml',
      'owner: us',
      'owner: us\n  chapter: wab',
      'agents/scout.yaml:9: there is no chapter “wab”; did you mean “web”?',
    ],
    [
      'a tool without connector',
      'agents/scout.yaml',
      'github.get_issue',
      'githob.get_issue',
      'agents/scout.yaml:22: there is no connector with tools “githob”; did you mean “github”?',
    ],
    [
      'a template for a name that is not there',
      'agents/scout.yaml',
      '{{payload.number}}',
      '{{pyload.number}}',
      'agents/scout.yaml:22: the template is not valid: there is no “pyload”',
    ],
    [
      'a wrong range of versions',
      'agents/scout.yaml',
      'spec:',
      'spec:\n  requires: { agents: [{ type: Sage, version: "one" }] }',
      'agents/scout.yaml:10: “one” is no range of versions',
    ],
    [
      'an action type that does not exist',
      'agents/scout.yaml',
      'type: GITHUB_COMMENT',
      'type: GITHUB_COMENT',
      'agents/scout.yaml:26: there is no action “GITHUB_COMENT”; did you mean “GITHUB_COMMENT”?',
    ],
    [
      'a wrong condition of a grant',
      'agents/scout.yaml',
      'autonomy: 2, when: payload.number > 0',
      'when: payload.number >',
      'agents/scout.yaml:26: the condition is not valid at character 17: Unexpected token: EOF',
    ],
    [
      'a condition that names what is unknown there',
      'routing/events.yaml',
      'payload.number > 0',
      'context.pr.draft',
      'routing/events.yaml:10: the condition is not valid at character 1: Unknown variable: context',
    ],
    [
      'a target that does not exist',
      'routing/events.yaml',
      '[Scout]',
      '[Scuot]',
      'routing/events.yaml:11: there is no agent or agent type “Scuot”; did you mean “Scout”?',
    ],
    [
      'a rule that stands twice',
      'routing/events.yaml',
      'spec:\n  rules:',
      'spec:\n  rules:\n    - { name: opened, event_type: X, target_agents: [Scout] }',
      'routing/events.yaml:8: a rule “opened” stands above',
    ],
    [
      'a wrong condition of a rule',
      'rules/scout.yaml',
      'payload.number < 9',
      'payload.number <> 9',
      'rules/scout.yaml:8: the condition is not valid at character 17',
    ],
    [
      'a wrong template of a rule',
      'rules/scout.yaml',
      '{{payload.number}}',
      '{{payload.number | sum up}}',
      'rules/scout.yaml:11: the template is not valid: there is no filter “sum up”',
    ],
    [
      'a wrong condition of a denial',
      'policies/safe.yaml',
      'action.type',
      'acton.type',
      'policies/safe.yaml:9: the condition is not valid at character 1: Unknown variable: acton',
    ],
    [
      'a provider with a name of ours',
      'providers/acme.yaml',
      'name: acme',
      'name: rules',
      'providers/acme.yaml:4: “rules” is built in; choose another name',
    ],
    [
      'a model alias that stands twice',
      'providers/acme.yaml',
      'models:',
      'models:\n    - { alias: smart, model: other }',
      'providers/acme.yaml:10: the alias “smart” is taken above',
    ],
    [
      'a key written into the Codex',
      'providers/acme.yaml',
      'key: ACME_KEY',
      'key: sk-123',
      'providers/acme.yaml:7: spec.key: invalid string',
    ],
  ])('refuses %s, with file and line', (_, file, from, to, problem) => {
    const files = aCodex()
    const text = files[file] ?? ''
    const changed = text.replace(from, to)
    expect(changed).not.toBe(text)
    const { snapshot, lines } = load({ ...files, [file]: changed })
    expect(snapshot).toBeNull()
    expect(lines.find((line) => line.startsWith(problem)) ?? lines).toEqual(expect.stringContaining(problem))
  })

  it('refuses a second agent of a type in one place, and a second file of a name', () => {
    const files = aCodex()
    const scout = files['agents/scout.yaml'] ?? ''
    const { lines } = load({ ...files, 'agents/other.yaml': scout.replace('name: scout', 'name: other') })
    expect(lines).toEqual([
      'agents/scout.yaml:5: there are two agents of type Scout in the whole organisation: other and scout',
    ])
    const twins = load({ ...files, 'agents/deep/scout.yaml': scout })
    expect(twins.lines).toEqual(['agents/scout.yaml:4: Agent “scout” exists already in agents/deep/scout.yaml'])
  })

  it('reports everything that is wrong, not the first thing only', () => {
    const files = aCodex()
    files['routing/events.yaml'] = (files['routing/events.yaml'] ?? '').replace('[Scout]', '[Nobody]')
    files['prompts/scout.md'] = ''
    files['rules/scout.yaml'] = (files['rules/scout.yaml'] ?? '').replace('when:', 'wen:')
    expect(load(files).lines).toHaveLength(5)
  })

  it.each<[string, (files: Record<string, string>) => void, string]>([
    [
      'a requirement that nobody meets',
      (files) =>
        edit(
          files,
          'agents/scout.yaml',
          'spec:',
          'spec:\n  requires: { agents: [{ type: Scout, version: ">=2" }], connectors: [{ name: jira }] }',
        ),
      'agents/scout.yaml:10: warning: needs Scout >=2, and has 1.0.0; the agent is degraded',
    ],
    [
      'a rule that asks for what is not granted',
      (files) => edit(files, 'rules/scout.yaml', 'GITHUB_COMMENT', 'GITHUB_ISSUE'),
      'agents/scout.yaml:16: warning: rules/scout.yaml asks for GITHUB_ISSUE, which this manifest does not grant',
    ],
    [
      'a file that nobody reads',
      (files) => void (files['agents/notes.txt'] = 'x'),
      'agents/notes.txt:1: warning: not read: the files of this folder are .yaml',
    ],
  ])('warns of %s, and serves', (_, change, warning) => {
    const files = aCodex()
    change(files)
    const { snapshot, lines } = load(files)
    expect(lines).toContain(warning)
    expect(snapshot?.warnings.length).toBe(lines.length)
  })

  it('names unmet requirements on the agent', () => {
    const files = aCodex()
    edit(
      files,
      'agents/scout.yaml',
      'spec:',
      'spec:\n  requires: { agents: [{ type: Sage, version: "^1" }], connectors: [{ name: jira }] }',
    )
    expect(load(files).snapshot?.agents.get('scout')?.unmet).toEqual([
      'needs Sage ^1, and there is none',
      'needs the connector jira, and there is none',
    ])
  })

  it('warns when what an agent says changed under the same version', () => {
    const previous = load(aCodex()).snapshot
    const files = { ...aCodex(), 'prompts/scout.md': 'You scout differently.' }
    expect(load(files, { previous }).lines).toEqual([
      'agents/scout.yaml:7: warning: prompt, tools, rules or output changed and the version did not rise since c0ffee000000: it was 1.0.0, it is 1.0.0',
    ])
    edit(files, 'agents/scout.yaml', 'version: 1.0.0', 'version: 1.1.0')
    expect(load(files, { previous }).lines).toEqual([])
  })
})

function edit(files: Record<string, string>, file: string, from: string, to: string): void {
  files[file] = (files[file] ?? '').replace(from, to)
}

function bomb(): string {
  const levels = Array.from({ length: 9 }, (_, n) => `a${n + 1}: &a${n + 1} [${`*a${n}, `.repeat(9)}]`)
  return `a0: &a0 [x]\n${levels.join('\n')}\n`
}
