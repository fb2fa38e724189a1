import { randomBytes } from 'node:crypto'
import { systemClock } from '../../kernel/clock.ts'
import { GuildError } from '../../kernel/errors.ts'
import { silentLog } from '../../kernel/log.ts'
import type { CommandModule } from '../main.ts'
import { facts, paint } from '../print.ts'

interface Options {
  readonly port: string
  readonly webhook?: string
  readonly secret?: string
}

export const sandboxCommand: CommandModule = (program, context) => {
  program
    .command('sandbox')
    .description('a GitHub that exists only here, to rehearse without touching the real one')
    .option('-p, --port <port>', 'port to listen on', '8090')
    .option(
      '--webhook <url>',
      'where it sends the webhooks that its writes cause',
      'http://127.0.0.1:8080/webhooks/github',
    )
    .option('--secret <secret>', 'secret it signs them with; default: a new one, printed')
    .addHelpText(
      'after',
      `
It prints what to set so that a guild uses it. \`guild up\` never does unless these variables say so.`,
    )
    .action(async (options: Options) => run(options, context().json))
}

async function run({ port, webhook, secret: given }: Options, json: boolean): Promise<void> {
  if (!/^\d{1,5}$/.test(port)) throw new GuildError('GUILD_COMMAND_INVALID', { why: `${port} is no port` })
  const { sandboxLogin, sandboxToken, startSandbox } = await import('../../sandbox/sandbox.ts')
  const secret = given ?? randomBytes(16).toString('hex')
  const sandbox = await startSandbox({
    port: Number(port),
    clock: systemClock,
    log: silentLog,
    ...(webhook && { webhook: { url: webhook, secret } }),
  })
  const variables = {
    GITHUB_API_URL: sandbox.url,
    GITHUB_TOKEN: sandboxToken,
    GITHUB_WEBHOOK_SECRET: secret,
    GITHUB_BOT_LOGIN: sandboxLogin,
    GUILD_LIVE: 'github',
  }
  if (json) process.stdout.write(`${JSON.stringify({ url: sandbox.url, environment: variables })}\n`)
  else {
    const exports = Object.entries(variables).map(([name, value]) => `  export ${name}='${value}'`)
    process.stdout.write(
      `${facts([
        ['sandbox', sandbox.url],
        ['received', `${sandbox.url}/_sandbox`],
        ['faults', `POST ${sandbox.url}/_sandbox/faults  ${paint.dim('make it fail on purpose')}`],
      ])}\n\nLet a guild use it:\n${exports.join('\n')}\n  npx guild up\n\n${paint.dim('Ctrl-C stops it; what it holds is gone then.')}\n`,
    )
  }
  await new Promise<void>((resolve) => {
    process.once('SIGINT', () => resolve())
    process.once('SIGTERM', () => resolve())
  })
  await sandbox.close()
}
