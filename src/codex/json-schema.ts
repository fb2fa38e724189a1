import { Ajv2020 } from 'ajv/dist/2020.js'
import { RE2JS } from 're2js'
import { GuildError, reasonOf } from '../kernel/errors.ts'

/** Compiling the meta-schema takes 50 ms: once, when the first schema comes. */
let ajv: Ajv2020 | undefined

const schemaBytesMax = 65_536

/** RE2: what a model writes must not make a pattern run for ever. Look-around and back references are not known to it. */
const linear = Object.assign(
  (pattern: string) => {
    const compiled = RE2JS.compile(pattern)
    // Ajv tells one pattern from another by its text.
    return { test: (text: string) => compiled.matcher(text).find(), toString: () => pattern }
  },
  { code: 'linear' },
)

/** The complaints of a JSON Schema about a value, as `/path text`; empty: it fits. */
export type JsonSchemaCheck = (value: unknown) => readonly string[]

/**
 * Compiles a JSON Schema (2020-12). No remote references: what is not in the schema does not exist.
 * @throws GUILD_JSON_SCHEMA_INVALID with `why`
 */
export function compileJsonSchema(schema: unknown): JsonSchemaCheck {
  if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) {
    throw new GuildError('GUILD_JSON_SCHEMA_INVALID', { why: 'it is not an object' })
  }
  try {
    if (JSON.stringify(schema).length > schemaBytesMax) throw new Error(`it is larger than ${schemaBytesMax} bytes`)
    ajv ??= new Ajv2020({ strict: false, validateFormats: false, addUsedSchema: false, code: { regExp: linear } })
    const validate = ajv.compile(schema)
    ajv.removeSchema(schema) // it would keep every version of every schema for ever
    return (value) =>
      validate(value)
        ? []
        : (validate.errors ?? []).map((error) => `${error.instancePath || '/'} ${error.message ?? error.keyword}`)
  } catch (error) {
    throw new GuildError('GUILD_JSON_SCHEMA_INVALID', { why: reasonOf(error) }, { cause: error })
  }
}
