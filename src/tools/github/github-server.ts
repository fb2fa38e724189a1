import { McpServer } from '@modelcontextprotocol/server'
import type { CallToolResult, Transport } from '@modelcontextprotocol/server'
import { StdioServerTransport } from '@modelcontextprotocol/server/stdio'
import { GithubApi, GithubError } from './github-api.ts'
import type { GithubApiOptions } from './github-api.ts'
import { githubReads } from './reads.ts'
import type { GithubRead } from './reads.ts'

/** The same key as the client's side reads (src/tools/mcp/result.ts); the two meet only on the wire. */
const integrityKey = 'guild/integrity'

/**
 * The built-in MCP server for GitHub: reads only. In process it is linked to the client by an in-memory transport; without a
 * transport it serves stdin and stdout (`guild mcp github`), for any MCP client. Resolves when it is connected.
 */
export async function serveGithubMcp(
  options: GithubApiOptions,
  transport: Transport = new StdioServerTransport(),
): Promise<McpServer> {
  const api = new GithubApi(options)
  const server = new McpServer({ name: 'guild-github', version: '1.0.0' })
  for (const read of githubReads) {
    server.registerTool(
      read.name,
      {
        description: read.description,
        inputSchema: read.input,
        annotations: { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: true },
      },
      (args, { mcpReq }) => answer(api, read, args, mcpReq.signal),
    )
  }
  await server.connect(transport)
  return server
}

async function answer(api: GithubApi, read: GithubRead, args: unknown, signal: AbortSignal): Promise<CallToolResult> {
  try {
    const { data, integrity } = await read.read(api, args, signal)
    return {
      content: [{ type: 'text', text: JSON.stringify(data) }],
      structuredContent: { ...data },
      _meta: { [integrityKey]: integrity },
    }
  } catch (error) {
    if (!(error instanceof GithubError)) throw error
    return { isError: true, content: [{ type: 'text', text: error.message }] }
  }
}
