import type { FastifyInstance } from 'fastify'
import { GuildError } from '../kernel/errors.ts'

const portsTried = 20

/**
 * Listens on `port`, or on the next free one of the 20 after it. Port 0 takes any.
 * @param exact this port or none: whoever named it looks for the process there (probes, a load balancer)
 * @returns the port taken. @throws GUILD_PORT_TAKEN, GUILD_PORT_IN_USE
 */
export async function listen(http: FastifyInstance, host: string, port: number, exact = false): Promise<number> {
  for (let tried = 0; tried <= portsTried; tried += 1) {
    try {
      await http.listen({ host, port: port === 0 ? 0 : port + tried })
      const address = http.server.address()
      return typeof address === 'object' && address ? address.port : port + tried
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
      if (exact) throw new GuildError('GUILD_PORT_IN_USE', { host, port }, { cause: error })
    }
  }
  throw new GuildError('GUILD_PORT_TAKEN', { from: port, to: port + portsTried })
}
