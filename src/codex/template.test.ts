import { describe, expect, it } from 'vitest'
import { renderTemplate } from './template.ts'
import { templateProblem } from './template-parser.ts'

const facts = {
  payload: {
    number: 12,
    title: 'Ping @octocat <b>now</b>\n`x`',
    body: null,
    labels: ['bug', 'cart'],
    files: [
      { filename: 'db/1.sql', additions: 2 },
      { filename: 'src/a.ts', additions: 5 },
    ],
    many: Array.from({ length: 53 }, (_, index) => index),
    draft: false,
    text: 'one\ntwo',
  },
}
const render = (value: unknown) => renderTemplate(value, facts).value

describe('renderTemplate', () => {
  it.each<[string, unknown]>([
    ['plain', 'plain'],
    ['{{payload.number}}', 12],
    ['{{ payload.labels }}', ['bug', 'cart']],
    ['#{{payload.number}}', '#12'],
    ['{{payload.labels.1}}!', 'cart!'],
    ['{{payload.body}}', ''],
    ["{{payload.body | default: 'nothing'}}", 'nothing'],
    ["{{payload.gone | default: 'a, b | c'}}", 'a, b | c'],
    ['{{payload.labels | json}}', '[\n  "bug",\n  "cart"\n]'],
    ['{{payload.text | truncate: 4}}', 'one…'],
    ['{{payload.text | line: 2}}', 'two'],
    ['{{payload.labels | count}}', 2],
    ["{{payload.labels | join: ' + '}}", 'bug + cart'],
    ["{{payload.files | pluck: 'additions' | sum}}", 7],
    ["{{payload.files | matching: 'filename', '*.sql', 'lib/**' | pluck: 'filename' | join}}", 'db/1.sql'],
    ['{{payload.title | inert}}', 'Ping @\u200boctocat &lt;b&gt;now&lt;/b&gt; ˋxˋ'],
    ['{{#each payload.files as f}}- {{f.filename}}\n{{/each}}', '- db/1.sql\n- src/a.ts\n'],
    ['{{#if payload.draft}}draft{{else}}ready{{/if}}', 'ready'],
    ['{{#if payload.labels}}{{#each payload.labels as l}}[{{l}}]{{/each}}{{/if}}', '[bug][cart]'],
    ['{{#if payload.gone}}x{{/if}}.', '.'],
  ])('renders %s', (template, expected) => {
    expect(render(template)).toEqual(expected)
  })

  it('renders every string of a JSON value and leaves the rest alone', () => {
    expect(render({ repo: 'o/{{payload.number}}', add: ['{{payload.number}}', 3, null, true] })).toEqual({
      repo: 'o/12',
      add: [12, 3, null, true],
    })
  })

  it('reports what led to nothing, once each, and not what has a default or is only asked for', () => {
    const text = "{{payload.x}}{{payload.x}}{{a.b}}{{payload.y | default: '-'}}{{#if payload.z}}{{/if}}"
    expect(renderTemplate(text, facts)).toEqual({ value: '-', missing: ['payload.x', 'a.b'] })
  })

  it.each(['constructor', '__proto__', 'payload.constructor.name', 'payload.labels.length', 'payload.title.at'])(
    'leads nowhere through %s',
    (path) => {
      expect(renderTemplate(`<{{${path}}}>`, facts)).toEqual({ value: '<>', missing: [path] })
    },
  )

  it('never renders what came from outside a second time', () => {
    expect(renderTemplate('{{payload.t}}!', { payload: { t: '{{payload.secret}}', secret: 's' } }).value).toBe(
      '{{payload.secret}}!',
    )
  })

  it('counts the items beyond fifty', () => {
    expect(render('{{#each payload.many as n}}{{n}} {{/each}}')).toMatch(/ 49 … and 3 more\n$/)
  })

  it('stops at 60 000 characters', () => {
    const long = { payload: { l: Array.from({ length: 50 }, () => 'x'.repeat(5_000)) } }
    expect(renderTemplate('{{#each payload.l as x}}{{x}}{{/each}}', long).value).toHaveLength(60_000)
  })
})

describe('templateProblem', () => {
  it.each([
    ['{{payload.number', /not closed/],
    ['{{payload.number + 1}}', /cannot be read|path/],
    ["{{payload['x']}}", /path/],
    ['{{pyload.x}}', /there is no “pyload”/],
    ['{{#each a as b}}{{c.d}}{{/each}}', /there is no “c”/],
    ['{{payload.x | exec}}', /there is no filter/],
    ['{{payload.x | join: , }}', /arguments/],
    ['{{#each payload.files}}x{{/each}}', /as name/],
    ['{{#each payload.files as f}}x', /never closed/],
    ['{{#if a}}{{/each}}', /closes nothing/],
    ['{{/if}}', /closes nothing/],
    ['{{else}}', /outside/],
    ['{{#if a}}'.repeat(4) + '{{/if}}'.repeat(4), /deeper/],
    ['x'.repeat(20_001), /longer/],
  ])('finds what is wrong with %s', (text, why) => {
    expect(templateProblem({ args: [text] }, ['payload', 'a'])).toEqual({
      path: ['args', '0'],
      why: expect.stringMatching(why),
    })
  })

  it('finds nothing wrong with good templates', () => {
    expect(templateProblem({ a: '{{#each x.y as z}}{{z.a}}{{/each}}', b: [1, null] }, ['x'])).toBeNull()
  })
})
