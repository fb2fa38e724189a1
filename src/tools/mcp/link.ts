import { InMemoryTransport, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import type { Transport } from '@modelcontextprotocol/client'
import type { ConnectorFile } from '../../codex/kinds.ts'
import { GuildError } from '../../kernel/errors.ts'
import type { Log } from '../../kernel/log.ts'
import { isOneLine } from '../../kernel/secret.ts'
import { cappedFetch } from './capped-fetch.ts'
import type { CallWatch } from './capped-fetch.ts'
import { ChildTransport } from './child-transport.ts'

/** Attaches a server of ours to its end of an in-memory pair. */
export type BuiltinServer = (transport: Transport, connector: ConnectorFile) => Promise<void>

export interface LinkDeps {
  readonly builtin: Readonly<Partial<Record<string, BuiltinServer>>>
  readonly variable: (name: string) => string | undefined
  readonly log: Log
}

/** How a connector's server is reached, and how it is let go. */
export interface Link {
  readonly transport: Transport
  /** a built-in server: what it says about integrity is believed */
  readonly trusted: boolean
  begin?(): Promise<void>
  end(how: 'at once' | 'politely'): Promise<void>
  /** how a process ended, if it did */
  epitaph?(): string | undefined
}

/** @throws GUILD_TOOL_UNAVAILABLE when the connector names what is not there */
export function linkOf(
  name: string,
  connector: ConnectorFile,
  deps: LinkDeps,
  watch: () => CallWatch | undefined,
): Link {
  const { tools } = connector.spec
  if (!tools) throw unavailable(name, 'it has no tools')
  if ('builtin' in tools) return builtinLink(name, tools.builtin, connector, deps)
  if ('url' in tools) return httpLink(new URL(tools.url), headersOf(name, tools.headers ?? {}, deps), watch)
  const transport = new ChildTransport({
    command: tools.command,
    args: tools.args,
    env: environment(tools.env, deps.variable),
    onStderr: (text) => deps.log.debug({ connector: name, stderr: text }, 'tool server says'),
  })
  return { transport, trusted: false, end: (how) => transport.end(how), epitaph: () => transport.epitaph }
}

function builtinLink(name: string, server: string, connector: ConnectorFile, { builtin }: LinkDeps): Link {
  const serve = builtin[server]
  if (!serve) throw unavailable(name, `this build has no server ${server}`)
  const [ours, theirs] = InMemoryTransport.createLinkedPair()
  return { transport: ours, trusted: true, begin: () => serve(theirs, connector), end: () => ours.close() }
}

/** How long a server may take to hear that its session is over. */
const farewellMs = 1_000

function httpLink(url: URL, headers: Readonly<Record<string, string>>, watch: () => CallWatch | undefined): Link {
  const transport = new StreamableHTTPClientTransport(url, {
    fetch: cappedFetch(watch),
    requestInit: { headers },
    // A read is repeated on a fresh connection instead.
    reconnectionOptions: {
      initialReconnectionDelay: 1_000,
      maxReconnectionDelay: 1_000,
      reconnectionDelayGrowFactor: 1,
      maxRetries: 0,
    },
  })
  return {
    transport,
    trusted: false,
    async end(how) {
      if (how === 'politely' && transport.sessionId) {
        const goodbye = transport.terminateSession().catch(() => undefined) // gone already, or does not know sessions
        const late = Promise.withResolvers<void>()
        const timer = setTimeout(late.resolve, farewellMs)
        await Promise.race([goodbye, late.promise])
        clearTimeout(timer)
      }
      await transport.close()
    },
  }
}

/** `Bearer ${TOKEN_OF_ACME}` → with the variable's value. */
function headersOf(
  name: string,
  headers: Readonly<Record<string, string>>,
  { variable }: LinkDeps,
): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(headers).map(([header, value]) => [
      header,
      value.replaceAll(/\$\{(\w+)\}/g, (_, env: string) => {
        const found = variable(env)
        if (found === undefined) throw unavailable(name, `its header ${header} needs ${env}, which is not set`)
        if (!isOneLine(found))
          throw unavailable(name, `its header ${header} cannot hold ${env}, which has a line break`)
        return found
      }),
    ]),
  )
}

/** A child sees PATH, HOME and what its connector names; not our secrets. */
function environment(names: readonly string[], variable: LinkDeps['variable']): Readonly<Record<string, string>> {
  const entries = ['PATH', 'HOME', ...names].flatMap((name) => {
    const value = variable(name)
    return value === undefined ? [] : [[name, value] as const]
  })
  return Object.fromEntries(entries)
}

function unavailable(connector: string, why: string): GuildError {
  return new GuildError('GUILD_TOOL_UNAVAILABLE', { connector, why })
}
