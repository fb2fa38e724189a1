import { expect, it } from 'vitest'
import { type StoryRecords, tell, verdictOf } from './story.ts'

const at = (second: number) => new Date(Date.UTC(2026, 10, 22, 10, 0, second))
const nothing: StoryRecords = {
  event: null,
  receipts: [],
  decisions: [],
  invocations: [],
  actions: [],
  approvals: [],
  consequences: [],
}
const action = {
  id: 'act_1',
  invocation_id: 'inv_1',
  agent_id: 'sentinel',
  type: 'GITHUB_COMMENT',
  connector: 'github',
  target_system: 'github',
  target: 'octo/shop#12',
  autonomy: 1,
  rule: 'policies/org.yaml#ask',
  state: 'SUCCEEDED',
  reason: null,
  attempts: 1,
  probes: 0,
  sent_at: at(6),
  remote_id: '9',
  remote_url: 'https://github.com/octo/shop/pull/12#issuecomment-9',
  confirmed_by: 'response',
  provider: 'rules',
  model: 'rules',
  codex_commit: 'c1',
  created_at: at(3),
  finished_at: at(7),
}

it('tells what happened in order of time, whatever record it stands in', () => {
  const lines = tell({
    ...nothing,
    receipts: [
      {
        id: 'rcv_1',
        event_id: 'evt_1',
        duplicate_of: null,
        source: 'github',
        delivery_id: 'g1',
        disposition: 'ROUTED',
        received_at: at(0),
      },
      {
        id: 'rcv_2',
        event_id: 'evt_1',
        duplicate_of: 'evt_1',
        source: 'github',
        delivery_id: 'g1',
        disposition: 'DUPLICATE',
        received_at: at(9),
      },
    ],
    actions: [action],
    approvals: [
      {
        id: 'apr_1',
        action_id: 'act_1',
        state: 'APPROVED',
        asked: 'team-payments',
        requested_at: at(4),
        expires_at: at(59),
        decided_by: 'person:ada',
        decided_at: at(5),
        channel: 'api',
        note: 'fine',
      },
    ],
    consequences: [
      {
        id: 'evt_2',
        type: 'PR_COMMENTED',
        subject_id: 'octo/shop#12',
        actor: 'guild[bot]',
        disposition: 'SELF_ECHO',
        reason: 'our own action act_1 came back as an event',
        received_at: at(8),
        causal_depth: 1,
      },
    ],
  })
  expect(lines.map(({ outcome, text }) => `${outcome}: ${text}`)).toEqual([
    'ROUTED: received from github, delivery g1',
    'PROPOSED: sentinel proposed GITHUB_COMMENT on octo/shop#12',
    'PENDING: team-payments was asked to approve act_1',
    'APPROVED: person:ada decided on act_1: fine',
    'EXECUTING: GITHUB_COMMENT on octo/shop#12 was sent',
    'SUCCEEDED: GITHUB_COMMENT on octo/shop#12 ended: https://github.com/octo/shop/pull/12#issuecomment-9',
    'SELF_ECHO: PR_COMMENTED by guild[bot] on octo/shop#12 followed from it: our own action act_1 came back as an event',
    'DUPLICATE: received again from github, delivery g1',
  ])
})

it('says what could not be read', () => {
  expect(verdictOf(nothing)).toBe('somebody sent what could not be read: no reason was recorded')
})
