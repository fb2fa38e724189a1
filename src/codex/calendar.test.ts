import { describe, expect, it } from 'vitest'
import { Calendar, isZone } from './calendar.ts'

describe('Calendar', () => {
  it.each([
    [
      'a fixed time in the gap fires at its end',
      '30 2 * * *',
      'Europe/Berlin',
      '2026-03-28T12:00Z',
      ['29T01:00', '30T00:30'],
    ],
    [
      'a fixed time that comes twice fires the first time',
      '30 2 * * *',
      'Europe/Berlin',
      '2026-10-24T12:00Z',
      ['25T00:30', '26T01:30'],
    ],
    [
      'the second coming is not taken for a new one',
      '30 1 * * *',
      'America/New_York',
      '2026-11-01T05:45Z',
      ['02T06:30'],
    ],
    [
      'every half hour goes on through a gap',
      '*/30 * * * *',
      'Europe/Berlin',
      '2026-03-29T00:30Z',
      ['29T01:00', '29T01:30'],
    ],
    [
      'every hour goes on through the hour that comes twice',
      '0 * * * *',
      'Europe/Berlin',
      '2026-10-24T23:30Z',
      ['25T00:00', '25T01:00', '25T02:00'],
    ],
    ['a gap of half an hour', '15 2 * * *', 'Australia/Lord_Howe', '2026-10-03T12:00Z', ['03T15:30', '04T15:15']],
    ['weekdays only', '30 8 * * 1-5', 'America/New_York', '2026-11-20T12:00Z', ['20T13:30', '23T13:30']],
  ])('%s', (_, expression, zone, from, expected) => {
    let at: Date | null = new Date(from)
    const slots = expected.map(() => {
      at = at && calendar(expression, zone).after(at)
      return at?.toISOString().slice(8, 16)
    })
    expect(slots).toEqual(expected)
  })

  it.each([
    ['* * * *', 'UTC', /five fields/],
    ['61 * * * *', 'UTC', /cron expression/],
    ['* * * * * *', 'UTC', /five fields/],
    ['0 0 30 2 *', 'UTC', /never comes due/],
    ['0 8 * * *', 'Europe/Atlantis', /IANA/],
  ])('refuses %s in %s and says why', (expression, zone, problem) => {
    expect(Calendar.read(expression, zone)).toEqual({ problem: expect.stringMatching(problem) })
  })

  it('reads the clock on the wall', () => {
    expect(calendar('0 8 * * *', 'Asia/Kathmandu').wall(new Date('2026-11-22T18:20:00Z'))).toBe('2026-11-23T00:05')
    expect(['UTC', 'Europe/Berlin', 'user', ''].map(isZone)).toEqual([true, true, false, false])
  })

  it.each(['2026-03-01', '2026-09-20'])(
    'names half past eight once a day in every zone, for 45 days from %s',
    (from) => {
      const wrong = Intl.supportedValuesOf('timeZone').filter((zone) => {
        const raven = calendar('30 8 * * *', zone)
        const days = new Set<string>()
        let at = raven.after(new Date(from))
        for (let slot = 0; slot < 45 && at; slot += 1) {
          days.add(raven.wall(at).slice(0, 10))
          at = raven.after(at)
        }
        return days.size !== 45
      })
      expect(wrong).toEqual([])
    },
  )
})

function calendar(expression: string, zone: string): Calendar {
  const read = Calendar.read(expression, zone)
  if (read instanceof Calendar) return read
  throw new Error(read.problem)
}
