import { expect, it } from 'vitest'
import { linkFrom, traceparent } from './traceparent.ts'

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const spanId = '00f067aa0ba902b7'

it.each([
  ['the published example', `00-${traceId}-${spanId}-01`, true],
  ['a later version with more fields', `cc-${traceId}-${spanId}-01-what-the-future-holds`, true],
  ['version 00 with more fields', `00-${traceId}-${spanId}-01-more`, false],
  ['the forbidden version', `ff-${traceId}-${spanId}-01`, false],
  ['an empty trace', `00-${'0'.repeat(32)}-${spanId}-01`, false],
  ['an empty parent', `00-${traceId}-${'0'.repeat(16)}-01`, false],
  ['upper case', `00-${traceId.toUpperCase()}-${spanId}-01`, false],
  ['two headers joined', `00-${traceId}-${spanId}-01, 00-${traceId}-${spanId}-01`, false],
  ['nothing', undefined, false],
])('%s', (_, header, valid) => {
  expect(linkFrom(header)).toEqual(valid ? { traceId, spanId } : null)
})

it('writes what it reads', () => {
  expect(linkFrom(traceparent({ traceId, spanId }))).toEqual({ traceId, spanId })
})
