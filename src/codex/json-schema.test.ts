// Mutations (made by hand, seen to fail, put back): json-schema.ts without `regExp: linear` ('judges a hostile pattern in no time', no
// end within the limit; 'says that look-around'); without `schemaBytesMax` ('takes no schema larger').
import { describe, expect, it } from 'vitest'
import { isGuildError } from '../kernel/errors.ts'
import { compileJsonSchema } from './json-schema.ts'

const why = (schema: unknown) => {
  try {
    compileJsonSchema(schema)
    return null
  } catch (error) {
    return isGuildError(error, 'GUILD_JSON_SCHEMA_INVALID') ? String(error.details['why']) : error
  }
}

describe('a JSON Schema of the Codex', () => {
  it('judges a hostile pattern in no time, whatever the model writes', () => {
    const check = compileJsonSchema({
      type: 'object',
      properties: { a: { type: 'string', pattern: '^(([a-z])+.)+[A-Z]([a-z])+$' } },
    })
    expect(check({ a: 'a'.repeat(28) })).toHaveLength(1)
    expect(check({ a: 'abcAbc' })).toEqual([])
  }, 2_000)

  it('says that look-around is not known, instead of leaving it out', () => {
    expect(why({ type: 'string', pattern: '^(?!x)' })).toContain('(?!')
  })

  it('takes no schema larger than 64 KiB', () => {
    expect(why({ description: 'x'.repeat(70_000) })).toContain('larger than 65536 bytes')
  })
})
