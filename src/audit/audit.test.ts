import { expect, it } from 'vitest'
import { auditMessage } from './audit.ts'

it('an audit entry keeps no secret, neither in its payload at any depth nor in its error', () => {
  const token = `ghp_${'a1B2c3D4'.repeat(4)}`
  const entry = {
    id: 'aud_1',
    timestamp: '2026-11-22T08:00:00.000Z',
    event_type: 'ERROR',
    payload: { args: [{ body: `use ${token}` }], password: 'hunter2hunter2' },
    error_message: `401 for ${token}`,
    actor: 'system:test',
  }
  expect(auditMessage(entry)).toEqual({
    id: 'aud_1',
    body: {
      ...entry,
      payload: { args: [{ body: 'use [secret: github-token]' }], password: '[secret: credential]' },
      error_message: '401 for [secret: github-token]',
    },
  })
})
