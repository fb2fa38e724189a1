import { fastify } from 'fastify'
import swagger from '@fastify/swagger'
import { jsonSchemaTransform, validatorCompiler } from 'fastify-type-provider-zod'
import { readFileSync } from 'node:fs'
import { type Api, apiRoutes } from './api.ts'
import type { Keys } from './auth.ts'
import { openapiHead } from './server.ts'
import type { StatusDeps } from './status.ts'

/** The OpenAPI document of `/api/v1`, made from the routes without opening anything. */
export async function openapiDocument(): Promise<object> {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string
  }
  const app = fastify()
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(() => (value) => JSON.stringify(value))
  await app.register(swagger, { openapi: openapiHead(version), transform: jsonSchemaTransform })
  // Routes are only described here, never called: nothing stands behind them.
  const nothing = { api: {} as Api, keys: {} as Keys, status: {} as StatusDeps }
  await app.register(apiRoutes(nothing), { prefix: '/api/v1' })
  await app.ready()
  const document = app.swagger()
  await app.close()
  return document
}
