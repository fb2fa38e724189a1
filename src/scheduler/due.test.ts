import { describe, expect, it } from 'vitest'
import { Calendar } from '../codex/calendar.ts'
import { due, type Standing } from './due.ts'

const hours = 3_600_000
const standing: Standing = {
  since: new Date('2026-11-20T12:00Z'),
  lastWall: null,
  catchUpMs: 4 * hours,
  oncePerWall: false,
}

describe('due', () => {
  it.each([
    ['nothing before the time', standing, '2026-11-21T08:29Z', null, 0],
    ['the slot at its time', standing, '2026-11-21T08:30Z', '2026-11-21T08:30', 0],
    ['the slot a moment later, not late', standing, '2026-11-21T08:30:20Z', '2026-11-21T08:30', 0],
    ['a missed slot within four hours, late', standing, '2026-11-21T12:00Z', '2026-11-21T08:30 late', 0],
    ['nothing beyond four hours, and counts it', standing, '2026-11-21T12:31Z', null, 1],
    ['after a week away the latest only', standing, '2026-11-27T09:00Z', '2026-11-27T08:30 late', 6],
    [
      'nothing that the person has had already',
      { ...standing, lastWall: '2026-11-21T08:30', oncePerWall: true },
      '2026-11-21T09:00Z',
      null,
      0,
    ],
    [
      'and their next',
      { ...standing, lastWall: '2026-11-20T08:30', oncePerWall: true },
      '2026-11-21T08:31Z',
      '2026-11-21T08:30',
      0,
    ],
  ] as const)('fires %s', (_, from, now, fire, missed) => {
    const found = due(daily(), from, new Date(now))
    expect([found.fire && `${found.fire.wall}${found.fire.late ? ' late' : ''}`, found.missed]).toEqual([fire, missed])
    expect(found.next?.getTime()).toBeGreaterThan(new Date(now).getTime())
  })

  it('looks at a minute schedule that slept for a year without walking through it', () => {
    const every = Calendar.read('* * * * *', 'UTC')
    if (!(every instanceof Calendar)) throw new Error(every.problem)
    const found = due(every, { ...standing, since: new Date('2025-11-21T00:00Z') }, new Date('2026-11-21T00:00Z'))
    expect(found.fire?.wall).toBe('2026-11-21T00:00')
  })
})

function daily(): Calendar {
  const calendar = Calendar.read('30 8 * * *', 'UTC')
  if (calendar instanceof Calendar) return calendar
  throw new Error(calendar.problem)
}
