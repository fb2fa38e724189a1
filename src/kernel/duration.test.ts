import { expect, it } from 'vitest'
import { durationMs } from './duration.ts'

it.each([
  ['500ms', 500],
  ['15s', 15_000],
  ['5m', 300_000],
  ['24h', 86_400_000],
  ['30d', 2_592_000_000],
])('reads %s as %i ms', (text, ms) => {
  expect(durationMs(text)).toBe(ms)
})

it.each(['', '15', '1.5s', '-1s', '1w', '15 s'])('refuses %j', (text) => {
  expect(() => durationMs(text)).toThrow(/not a duration/)
})
