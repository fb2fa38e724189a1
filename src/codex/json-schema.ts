import { Ajv2020 } from 'ajv/dist/2020.js'
import { GuildError, reasonOf } from '../kernel/errors.ts'

/** Compiling the meta-schema takes 50 ms: once, when the first schema comes. */
let ajv: Ajv2020 | undefined

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
    ajv ??= new Ajv2020({ strict: false, validateFormats: false, addUsedSchema: false })
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
