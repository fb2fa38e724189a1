import { GuildError } from '../kernel/errors.ts'
import type { Param } from './database.ts'

/** A parameter as PostgreSQL's text format; both drivers send it as it is, so that both bind alike. */
export function encodeParam(param: Param): string | null {
  if (param === null) return null
  if (param instanceof Date) return param.toISOString()
  if (typeof param === 'object') return `{${param.map(encodeElement).join(',')}}`
  return String(param)
}

/** The value of a column sent in text format. Types the port does not name stay text. */
export function decodeColumn(oid: number, text: string): unknown {
  const element = elementOf.get(oid)
  if (element !== undefined) return decodeArray(text, (item) => decodeColumn(element, item))
  const decode = decoders.get(oid)
  return decode ? decode(text) : text
}

// pg_type.oid of built-in types never change: https://github.com/postgres/postgres/blob/master/src/include/catalog/pg_type.dat
const oid = { bool: 16, bytea: 17, int8: 20, int2: 21, int4: 23, json: 114, float4: 700, float8: 701 } as const
const timestamptz = 1184
const jsonb = 3802
const [text, varchar, uuid, numeric] = [25, 1043, 2950, 1700]

const decoders: ReadonlyMap<number, (value: string) => unknown> = new Map<number, (value: string) => unknown>([
  [oid.bool, (value) => value === 't'],
  [oid.bytea, (value) => new Uint8Array(Buffer.from(value.slice(2), 'hex'))],
  [oid.int2, Number],
  [oid.int4, Number],
  [oid.int8, safeInteger],
  [oid.float4, Number],
  [oid.float8, Number],
  [oid.json, parseJson],
  [jsonb, parseJson],
  [timestamptz, instant],
])

const elementOf: ReadonlyMap<number, number> = new Map([
  [1000, oid.bool],
  [1005, oid.int2],
  [1007, oid.int4],
  [1016, oid.int8],
  [1021, oid.float4],
  [1022, oid.float8],
  [1185, timestamptz],
  [3807, jsonb],
  [1009, text],
  [1015, varchar],
  [2951, uuid],
  [1231, numeric],
])

function parseJson(value: string): unknown {
  return JSON.parse(value)
}

function safeInteger(value: string): number {
  const number = Number(value)
  if (Number.isSafeInteger(number)) return number
  throw new GuildError('GUILD_INTERNAL', { why: `the int8 ${value} does not fit a number` })
}

/** `2026-11-22 13:23:20.052123+00`; sessions run in UTC. */
function instant(value: string): Date {
  const date = new Date(value.replace(' ', 'T').replace(/([+-]\d\d)$/, '$1:00'))
  if (Number.isNaN(date.getTime())) throw new GuildError('GUILD_INTERNAL', { why: `the instant ${value} has no Date` })
  return date
}

function encodeElement(item: string | number | null): string {
  if (item === null) return 'NULL'
  // Two searches for one character each: on pages of JSON cheaper than one for either.
  return typeof item === 'number' ? String(item) : `"${item.replaceAll('\\', '\\\\').replaceAll('"', String.raw`\"`)}"`
}

/** One-dimensional array literals: https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO */
function decodeArray(literal: string, decode: (item: string) => unknown): readonly unknown[] {
  const items: unknown[] = []
  for (const match of literal.slice(1, -1).matchAll(/"((?:[^"\\]|\\.)*)"|([^,]+)/gs)) {
    const [, quoted, bare] = match
    if (quoted !== undefined) items.push(decode(quoted.replaceAll(/\\(.)/gs, '$1')))
    else items.push(bare === undefined || bare === 'NULL' ? null : decode(bare))
  }
  return items
}
