import { describe, expect, it } from 'vitest'
import type { RunDetail } from '../../http/rows.ts'
import { showRun } from './show-run.ts'

const options = { full: false, width: 100 }
const at = (second: number) => `2026-11-22T10:00:${String(second).padStart(2, '0')}.000Z`

function aStep(seq: number, kind: string, name: string, over: object = {}): RunDetail['steps'][number] {
  const times = { started_at: at(seq), finished_at: at(seq + 1) }
  return {
    seq,
    attempt: 1,
    kind,
    name,
    status: 'DONE',
    error: null,
    request: null,
    response: null,
    usage: null,
    ...times,
    ...over,
  }
}

function aRun(over: Partial<RunDetail> = {}): RunDetail {
  return {
    id: 'inv_1',
    agent_id: 'herald',
    agent_version: '1.2.0',
    chapter: 'payments',
    event_id: 'evt_1',
    event_type: 'PR_OPENED',
    subject_id: 'octo/shop#12',
    trace_id: 'a'.repeat(32),
    codex_commit: 'c'.repeat(40),
    rule: 'routing/events.yaml#pr',
    priority: 'NORMAL',
    state: 'COMPLETED',
    reason: null,
    reason_detail: 'anthropic test-model answered',
    attempts: 1,
    queued_at: at(0),
    started_at: at(0),
    finished_at: at(30),
    summary: 'Greeted.',
    provider: 'anthropic',
    model: 'test-model',
    input_tokens: 1_300,
    output_tokens: 40,
    cost_micros: 3_100,
    actions: 1,
    transcript_ref: 'logs/2026-11-22/inv_1.json',
    limits: { agent_version: '1.2.0', tokens: 60_000, cost_micros: 400_000 },
    proposed: [],
    decisions: [],
    steps: [],
    ...over,
  }
}

const said = (text: string, over: object = {}) =>
  aStep(3, 'llm', 'anthropic/main', {
    request: {
      provider: 'anthropic',
      model: 'test-model',
      steer: null,
      closing: null,
      trim: 0,
      price: { version: 'p1' },
    },
    response: { text, stop: 'tool_calls', provider: 'anthropic', model: 'test-model', toolCalls: [] },
    usage: {
      inputNocache: 1_000,
      inputCacheRead: 300,
      inputCacheWrite: 0,
      outputText: 30,
      outputReasoning: 10,
      costMicros: 3_100,
      estimated: false,
    },
    ...over,
  })
const context = (name: string, outcome: string, more: object = {}) =>
  aStep(1, 'context', name, {
    seq: name.length,
    request: { tool: 'github.read' },
    response: { outcome, text: '', integrity: 'outsider', why: null, ...more },
  })

describe('guild runs show', () => {
  it('tells a run of a model from what it saw to what became of its actions', () => {
    const action = {
      id: 'act_1',
      type: 'GITHUB_COMMENT',
      target: 'octo/shop#12',
      state: 'SUCCEEDED',
      reason: 'done',
      remote_url: 'https://x.test/1',
    }
    const receipt = {
      text: '{"status":"queued","reason":"accepted"}',
      isError: false,
      integrity: 'verified',
      repeated: false,
      actionId: 'act_1',
    }
    const call = { name: 'GITHUB_COMMENT', args: { body: 'Hi\nthere' } }
    const steps = [
      context('pr', 'read', { text: 'x'.repeat(2_100), integrity: 'member' }),
      context('thread', 'withheld', { why: 'its author is public' }),
      said('I shall greet.', {
        response: {
          text: 'I shall greet.',
          stop: 'tool_calls',
          provider: 'anthropic',
          model: 'test-model',
          toolCalls: [call],
        },
      }),
      aStep(4, 'tool_read', 'github.search', {
        request: { args: { q: 'a' } },
        response: { text: 'found', isError: false, integrity: 'public', repeated: true, actionId: null },
      }),
      aStep(5, 'action', 'GITHUB_COMMENT', { response: receipt }),
    ]
    const shown = showRun(aRun({ steps, proposed: [action] }), options)
    expect(shown).toContain('It came to its end: anthropic test-model answered.')
    expect(shown).toMatch(/pr +2\.1 KB +member +github\.read/)
    expect(shown).toMatch(/thread +– +– +github\.read +withheld: its author is public/)
    expect(shown).toContain('│ I shall greet.')
    expect(shown).toContain('→ GITHUB_COMMENT  body: Hi there')
    expect(shown).toMatch(/read {3}github\.search q: a {2}5 B, public, from the journal/)
    expect(shown).toMatch(/write {2}GITHUB_COMMENT on octo\/shop#12 {2}queued → SUCCEEDED\n +https:\/\/x\.test\/1/)
    expect(shown).toMatch(/3 +anthropic\/main +1,300 +300 +0 +40 +\$0\.0031 +p1/)
    expect(shown).toContain('1 call, 1,340 tokens, $0.0031  (2 % of 60,000 tokens, 1 % of $0.40 that a run may use)')
    expect(shown).toContain('guild runs record inv_1')
  })

  it.each([
    [
      'a loop',
      { state: 'STOPPED', reason: 'LOOP', reason_detail: 'the same call 5 times' },
      'It was stopped: it went in a circle – the same call 5 times. What it had proposed until then stands.',
    ],
    [
      'no model',
      { state: 'FAILED', reason: 'PROVIDER', reason_detail: 'overloaded' },
      'It failed: no model answered – overloaded.',
    ],
    [
      'a dead one',
      { state: 'DEAD', reason: 'POISON', reason_detail: '3 attempts' },
      'It was given up: it failed again and again at the same step – 3 attempts. `guild dead` has the letter.',
    ],
    [
      'one that waits for a worker',
      { state: 'QUEUED', reason_detail: null, finished_at: null },
      'It waits for a worker.',
    ],
    ['one at work', { state: 'RUNNING', reason_detail: null, finished_at: null, attempts: 2 }, 'attempt 2.'],
    [
      'one that waits for a time',
      { state: 'WAITING_RATE', reason_detail: 'overloaded', finished_at: null, not_before: at(50) },
      'It waits until',
    ],
    [
      'one that waits for a person',
      { state: 'WAITING_APPROVAL', reason_detail: 'a review', finished_at: null },
      'It waits for an approval: a review.',
    ],
    [
      'a reason of a newer guild',
      { state: 'STOPPED', reason: 'NEW_REASON', reason_detail: 'x' },
      'It was stopped: NEW_REASON – x.',
    ],
  ])('says in a sentence why it is where it is: %s', (_, over, sentence) => {
    expect(showRun(aRun({ ...over, steps: [] }), { ...options, width: 200 })).toContain(sentence)
  })

  it('says of a run that has just begun that there is nothing yet', () => {
    const shown = showRun(aRun({ state: 'RUNNING', finished_at: null, transcript_ref: null, steps: [] }), options)
    expect(shown).toContain('What it thought to do\n  Nothing yet.')
    expect(shown).toContain('What it did\n  Nothing yet.')
    expect(shown).toMatch(/transcript +written when it ends/)
  })

  it('tells what is left of a run whose words retention has removed', () => {
    const steps = [
      aStep(1, 'context', 'pr'),
      aStep(2, 'llm', 'anthropic/main', { usage: (said('') as { usage?: unknown }).usage }),
      aStep(3, 'action', 'GITHUB_COMMENT'),
      aStep(4, 'something-new', 'of a newer guild', { request: 7 }),
    ]
    const shown = showRun(aRun({ steps, transcript_ref: null }), options)
    expect(shown.match(/its words are not kept any more/g)).toHaveLength(2)
    expect(shown).toContain('receipt not kept')
    expect(shown).toContain('1,300')
    expect(shown).toContain('something-new of a newer guild')
    expect(shown).toMatch(/transcript +none is kept/)
  })

  it('wraps to the terminal and cuts long answers unless told not to', () => {
    const long = Array.from(
      { length: 60 },
      (_, index) => `Sentence number ${index} of an answer that goes on and on.`,
    ).join('\n')
    const run = aRun({ steps: [said(`${long} ${'w'.repeat(300)}`)] })
    const shown = showRun(run, { full: false, width: 60 })
    expect(shown).toMatch(/… \d+ more lines: --full/)
    const full = showRun(run, { full: true, width: 60 })
    expect(full).toContain('Sentence number 59')
    const answer = full.split('\n').filter((line) => line.includes('│'))
    expect(Math.max(...answer.map((line) => line.length))).toBeLessThanOrEqual(60)
  })

  it('calls rules rules, and a recording a recording', () => {
    const rules = said('By rule.', {
      response: { text: 'By rule.', stop: 'end', provider: 'rules', model: 'rules', toolCalls: [] },
    })
    const replayed = said('Again.', {
      response: { text: 'Again.', stop: 'end', provider: 'replay', model: 'anthropic/m', toolCalls: [] },
    })
    expect(showRun(aRun({ steps: [rules] }), options)).toContain('rules, no model was asked')
    expect(showRun(aRun({ steps: [replayed] }), options)).toContain('replay/anthropic/m (a recording)')
  })
})
