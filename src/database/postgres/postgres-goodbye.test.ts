import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { expect, it } from 'vitest'
import { PostgresDatabase } from './postgres-database.ts'

/** https://www.postgresql.org/docs/current/protocol-message-formats.html */
function message(type: string, body: Buffer): Buffer {
  const head = Buffer.alloc(5)
  head.write(type)
  head.writeInt32BE(body.byteLength + 4, 1)
  return Buffer.concat([head, body])
}

const authenticated = message('R', Buffer.alloc(4))
const ready = message('Z', Buffer.from('I'))
const goodbye = message('E', Buffer.from('SFATAL\0C57P01\0Mterminating connection due to administrator command\0\0'))

it('outlives a server that says goodbye in the same breath in which it says that it is ready', async () => {
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.once('data', () => socket.write(Buffer.concat([authenticated, ready, goodbye])))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  // Unhandled, the goodbye would end the whole process.
  await expect(PostgresDatabase.open({ url: `postgres://guild@127.0.0.1:${port}/guild` })).rejects.toMatchObject({
    code: 'GUILD_DATABASE_UNAVAILABLE',
  })
  server.close()
})
