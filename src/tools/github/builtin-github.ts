import type { Transport } from '@modelcontextprotocol/server'
import type { ConnectorFile } from '../../codex/kinds.ts'
import type { Settings } from '../../config/settings.ts'
import { GuildError } from '../../kernel/errors.ts'
import { isOneLine, Secret } from '../../kernel/secret.ts'
import type { Admission, GithubApiOptions } from './github-api.ts'

export interface BuiltinGithubDeps {
  readonly settings: Pick<Settings, 'githubApiUrl' | 'githubToken'>
  readonly variable: (name: string) => string | undefined
  /** how often a connector may read; default: no limit but GitHub's */
  readonly admission?: (connector: ConnectorFile, apiUrl: string, hasToken: boolean) => Admission
}

/** The built-in server for a connector. Its SDK is loaded with the first connection. */
export function builtinGithub(deps: BuiltinGithubDeps) {
  return async (transport: Transport, connector: ConnectorFile): Promise<void> => {
    const { serveGithubMcp } = await import('./github-server.ts')
    const access = githubAccess(connector, deps)
    const admit = deps.admission?.(connector, access.apiUrl, access.token !== null)
    await serveGithubMcp({ ...access, ...(admit && { admit }) }, transport)
  }
}

/** A connector's own URL and token hold before the environment's; a named token that is not set is none, not another account's. */
export function githubAccess(
  { spec }: ConnectorFile,
  { settings, variable }: Omit<BuiltinGithubDeps, 'admission'>,
): GithubApiOptions {
  const named = spec.token === undefined ? undefined : variable(spec.token)
  if (named !== undefined && !isOneLine(named)) {
    throw new GuildError('GUILD_CONFIG_INVALID', { name: spec.token, why: 'it holds a line break' })
  }
  const own = spec.token !== undefined && spec.token !== 'GITHUB_TOKEN'
  return {
    apiUrl: spec.baseUrl ?? settings.githubApiUrl,
    token: own ? (named ? new Secret(named) : null) : (settings.githubToken ?? null),
  }
}
