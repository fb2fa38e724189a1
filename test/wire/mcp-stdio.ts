import { StdioServerTransport } from '@modelcontextprotocol/server/stdio'
import { testServer } from './mcp-server.ts'

// Run as a child process: a real MCP server on stdin and stdout. `deaf` starts and never answers.
if (process.argv[2] === 'deaf') process.stdin.resume()
else await testServer().connect(new StdioServerTransport())
