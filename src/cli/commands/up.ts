import type { CommandModule, Context } from '../main.ts'
import { version } from '../version.ts'
import { sentence } from '../follow.ts'
import { facts, paint } from '../print.ts'
import type { Serving } from '../../processes/serve.ts'
import { roles } from '../../processes/roles.ts'

export const upCommand: CommandModule = (program, context) => {
  program
    .command('up')
    .description('start everything in one process: gateway, API and every role')
    .addHelpText(
      'after',
      `
Binds to loopback unless HOST says otherwise. Without DATABASE_URL it uses an embedded database in GUILD_HOME.
Connectors are in shadow mode, where nothing is sent, until GUILD_LIVE or the Codex says live.`,
    )
    .action(() => start(context(), roles))
}

/** Serves until SIGINT or SIGTERM. A second signal ends at once. */
export async function start(context: Context, which: readonly (typeof roles)[number][]): Promise<void> {
  const { serve } = await import('../../processes/serve.ts')
  const { settings, env, json } = context
  const human = process.stdout.isTTY && !json
  const stop = new AbortController()
  const onSignal = () => {
    if (stop.signal.aborted) process.exit(130)
    if (human) process.stdout.write(`\n${paint.dim('finishing what is in flight; Ctrl-C again ends at once')}\n`)
    stop.abort()
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  try {
    await serve({
      // A terminal gets sentences; a log collector gets JSON lines.
      settings: human && !env['LOG_LEVEL'] ? { ...settings, logLevel: 'warn' } : settings,
      env,
      roles: which,
      version: version(),
      signal: stop.signal,
      onReady: (serving) => announceReady(serving, context, human),
      ...(human && { onDecision: (item) => process.stdout.write(`${sentence(item)}\n`) }),
    })
  } finally {
    process.removeListener('SIGINT', onSignal)
    process.removeListener('SIGTERM', onSignal)
  }
}

function announceReady(serving: Serving, { settings, json }: Context, human: boolean): void {
  if (json) {
    process.stdout.write(
      `${JSON.stringify({ ready: true, url: serving.url, webhooks: `${serving.url}/webhooks/github` })}\n`,
    )
    return
  }
  const shadow = serving.live.length === 0
  const lines = facts([
    [
      'guild',
      `${paint.bold(serving.url)}${serving.portMoved ? paint.yellow(`  (port ${settings.port} is taken)`) : ''}`,
    ],
    [
      'webhooks',
      `${serving.url}/webhooks/github${settings.githubWebhookSecrets.length === 0 ? paint.yellow('  set GITHUB_WEBHOOK_SECRET: without it nothing is accepted') : ''}`,
    ],
    ['sign in', `${serving.signInUrl}  ${paint.dim('(once, 15 minutes)')}`],
    ['database', serving.database],
    ['codex', serving.codex],
    ['models', serving.models],
    [
      'writes',
      shadow
        ? `${paint.cyan('shadow')}: rendered and recorded, nothing is sent`
        : `${paint.red('live')}: ${serving.live.join(', ')}`,
    ],
  ])
  process.stdout.write(
    `${lines}\n${human ? paint.dim('\nCtrl-C stops. In another terminal: guild status, guild events --follow, guild why <event>\n\n') : ''}`,
  )
}
