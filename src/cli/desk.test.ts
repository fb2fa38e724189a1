import { describe, expect, it } from 'vitest'
import type { ApprovalRow } from '../http/rows.ts'
import { card } from './commands/actions.ts'
import { sentence } from './follow.ts'
import { printable } from './print.ts'

const row = (args: Record<string, unknown>) =>
  ({
    id: 'apr_1',
    action_id: 'act_1',
    agent_id: 'sentinel',
    type: 'GITHUB_REVIEW',
    target: 'acme/shop#7',
    event_id: 'evt_1',
    rule: null,
    asked: 'team',
    expires_at: '2026-11-22T12:00:00.000Z',
    args,
  }) as unknown as ApprovalRow // what a card reads

describe('what a person decides on', () => {
  it('names every argument, such as the verdict of a review', () => {
    const shown = card(row({ repo: 'acme/shop', number: 7, event: 'APPROVE', body: 'Looks fine.' }))
    expect(shown).toContain('APPROVE')
    expect(shown).toContain('Looks fine.')
  })

  it('says when there is more text than is shown, and where it is', () => {
    const shown = card(row({ body: Array.from({ length: 40 }, (_, at) => `line ${at}`).join('\n') }))
    expect(shown).toContain('16 more lines')
    expect(shown).toContain('actions show act_1')
  })
})

describe('text from outside', () => {
  it('cannot move the cursor, hide or turn around what the terminal shows', () => {
    const hostile = 'ok\u001b[2K\u001b]52;c;ZXZpbA==\u0007\u001b[8mhidden\r\u202eforged\u009b2J'
    const shown = printable(hostile)
    // oxlint-disable-next-line no-control-regex -- these are what it is about
    expect(shown).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/)
    expect(shown).toContain('\\u001b[8mhidden')
  })

  it('keeps its lines and our colours', () => {
    const ours = '\u001b[1m\u001b[31mred\u001b[39m\u001b[22m\n\tnext'
    expect(printable(ours)).toBe(ours)
  })

  it('is made harmless in the live story too', () => {
    const item = { at: new Date(), stage: 'dispatch', outcome: 'ROUTED', subject_id: 'a\u001b[2J', reason: 'x\u0007' }
    expect(sentence(item as never)).not.toContain('\u001b[2J')
  })
})
