import { expect, it } from 'vitest'
import { maintenance } from './maintenance.ts'

const table = (name: string, live: number, dead: number, modified = 0) => ({ name, live, dead, modified })
const megabyte = 1024 * 1024

it.each([
  ['nothing on an idle database', 0, [], []],
  ['nothing below the thresholds', 64 * megabyte, [table('a', 1000, 250, 150)], []],
  ['vacuums past 50 + 20 % dead rows', 0, [table('a', 1000, 251)], ['VACUUM (ANALYZE) a']],
  [
    'vacuums the worst first, and one at a time',
    0,
    [table('a', 1000, 400), table('b', 10, 400)],
    ['VACUUM (ANALYZE) b'],
  ],
  ['analyses past 50 + 10 % changed rows', 0, [table('a', 1000, 0, 151)], ['ANALYZE a']],
  ['writes a checkpoint past 64 MB of log', 65 * megabyte, [], ['CHECKPOINT']],
  ['does both when both are due', 65 * megabyte, [table('a', 0, 51)], ['VACUUM (ANALYZE) a', 'CHECKPOINT']],
])('%s', (_, walBytes, tables, work) => {
  expect(maintenance({ walBytes, tables })).toEqual(work)
})
