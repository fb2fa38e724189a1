import type { CommandModule, Context } from '../main.ts'
import { version } from '../version.ts'
import { sentence } from '../follow.ts'
import { facts, paint } from '../print.ts'
import type { Serving } from '../../processes/serve.ts'
import { type Role, roles } from '../../processes/roles.ts'
import { isGuildError } from '../../kernel/errors.ts'
import { report } from '../report.ts'

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

/**
 * Serves until SIGINT or SIGTERM. A second signal ends at once, and so does the end of the time to drain: what has not settled by then
 * would keep the process alive.
 * @param apart one of several processes: `guild run`
 */
export async function start(context: Context, which: readonly Role[], apart = false): Promise<void> {
  const { serve } = await import('../../processes/serve.ts')
  const { settings, env, json } = context
  // What `ps` and `top` show; several of them stand side by side on a host.
  process.title = apart ? `guild ${which.join(' ')}` : 'guild up'
  const human = process.stdout.isTTY && !json
  const stop = new AbortController()
  const onSignal = (signal: NodeJS.Signals) => {
    if (stop.signal.aborted) process.exit(signal === 'SIGINT' ? 130 : 143)
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
      apart,
      onReady: (serving) => announceReady(serving, context, { human, apart }),
      ...(human && { onDecision: (item) => process.stdout.write(`${sentence(item)}\n`) }),
    })
  } catch (error) {
    if (isGuildError(error, 'GUILD_DRAIN_DEADLINE')) process.exit(report(error))
    // Told to stop while it still waited for a store: there was nothing to finish.
    if (!stop.signal.aborted) throw error
  } finally {
    process.removeListener('SIGINT', onSignal)
    process.removeListener('SIGTERM', onSignal)
  }
}

function announceReady(
  serving: Serving,
  { settings, json }: Context,
  { human, apart }: { readonly human: boolean; readonly apart: boolean },
): void {
  const webhooks = serving.signInUrl === null ? null : `${serving.url}/webhooks/github`
  if (json) {
    process.stdout.write(`${JSON.stringify({ ready: true, url: serving.url, ...(webhooks && { webhooks }) })}\n`)
    return
  }
  const unsigned = settings.githubWebhookSecrets.length === 0
  const moved = serving.portMoved ? paint.yellow(`  (port ${settings.port} is taken)`) : ''
  const lines = facts([
    ['guild', `${paint.bold(serving.url)}${moved}`],
    ...(webhooks
      ? [
          [
            'webhooks',
            `${webhooks}${unsigned ? paint.yellow('  set GITHUB_WEBHOOK_SECRET: without it nothing is accepted') : ''}`,
          ] as const,
        ]
      : []),
    // A link that signs an admin in belongs on a screen, not in the log of a pod.
    ...(serving.signInUrl && (human || !apart)
      ? [['sign in', `${serving.signInUrl}  ${paint.dim('(once, 15 minutes)')}`] as const]
      : []),
    ['database', serving.database],
    ['codex', serving.codex],
    ['models', serving.models],
    [
      'writes',
      serving.live.length === 0
        ? `${paint.cyan('shadow')}: rendered and recorded, nothing is sent`
        : `${paint.red('live')}: ${serving.live.join(', ')}`,
    ],
  ])
  process.stdout.write(
    `${lines}\n${human ? paint.dim('\nCtrl-C stops. In another terminal: guild status, guild events --follow, guild why <event>\n\n') : ''}`,
  )
}
