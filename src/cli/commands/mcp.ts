import type { CommandModule } from '../main.ts'

export const mcpCommand: CommandModule = (program, context) => {
  const mcp = program.command('mcp').description('the built-in tool servers, for other MCP clients')
  mcp
    .command('github')
    .description('read-only GitHub tools over stdio (Model Context Protocol)')
    .action(async () => {
      const { serveGithubMcp } = await import('../../tools/github/github-server.ts')
      const { settings } = context()
      await serveGithubMcp({ apiUrl: settings.githubApiUrl, token: settings.githubToken ?? null })
    })
}
