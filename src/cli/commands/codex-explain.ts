import type { Command } from 'commander'
import { codexUrl } from '../../processes/codex-url.ts'
import type { AgentExplanation } from '../../codex/explain-agent.ts'
import { GuildError } from '../../kernel/errors.ts'
import type { Context } from '../main.ts'
import { facts, paint, table } from '../print.ts'

export function codexExplainCommand(codex: Command, context: () => Context): void {
  codex
    .command('explain <agent>')
    .description('what an agent may do after organisation, chapter and manifest have had their say')
    .option('--codex <codex>', 'the Codex, when it is not the one of CODEX_URL')
    .addHelpText(
      'after',
      '\nThe strictest of organisation, chapter and manifest holds; each line says whose word it is.',
    )
    .action(async (agent: string, options: { readonly codex?: string }) => {
      const { readNewest } = await import('../../codex/lint.ts')
      const { loadCodex } = await import('../../codex/load.ts')
      const { explainAgent } = await import('../../codex/explain-agent.ts')
      const { settings, show } = context()
      const files = await readNewest(options.codex ?? codexUrl(settings), settings.home)
      const { snapshot, documents } = loadCodex(files, { loadedAt: new Date(), pinned: true })
      if (!snapshot) {
        const why = `the Codex at ${files.commit.slice(0, 12)} is not valid; run guild codex lint`
        throw new GuildError('GUILD_COMMAND_INVALID', { why })
      }
      const explained = explainAgent(snapshot, documents, agent)
      if (!explained) {
        const why = `there is no agent ${agent}; there is ${[...snapshot.agents.keys()].join(', ') || 'none'}`
        throw new GuildError('GUILD_COMMAND_INVALID', { why })
      }
      show(explained, () => human(explained))
    })
}

function human(explained: AgentExplanation): string {
  const { agent, version, chapter, unmet, waiver, limits, actions, trifecta } = explained
  const legs = (list: AgentExplanation['trifecta']['untrusted']) =>
    list.length > 0 ? list.map(({ what, at }) => `${what} (${at})`).join(', ') : paint.green('cut')
  const head = facts([
    ['agent', `${agent} ${version}, ${chapter === null ? 'org-wide' : `chapter ${chapter}`}`],
    ...(unmet.length > 0 ? [['degraded', paint.red(unmet.join('; '))] as const] : []),
    ...(waiver
      ? [
          [
            'waiver',
            paint.yellow(`${waiver.rule}, by ${waiver.approvedBy}, until ${waiver.until.slice(0, 10)}`),
          ] as const,
        ]
      : []),
    ['sees words of strangers', legs(trifecta.untrusted)],
    ['reads what is not public', legs(trifecta.private)],
    ['writes elsewhere by itself', legs(trifecta.outside)],
    ['trifecta', trifecta.stands ? paint.red('stands') : paint.green('does not stand')],
  ])
  const bounds = table(limits, [
    { head: 'limit', cell: (row) => row.name },
    { head: 'value', cell: (row) => row.value, align: 'right' },
    { head: 'by', cell: (row) => row.by },
  ])
  const grants = table(actions, [
    { head: 'action', cell: (row) => row.type },
    { head: 'granted', cell: (row) => String(row.granted), align: 'right' },
    { head: 'holds', cell: (row) => String(row.autonomy), align: 'right' },
    { head: 'tainted', cell: (row) => String(row.whenTainted), align: 'right' },
    { head: 'by', cell: (row) => row.by },
    {
      head: 'where',
      cell: (row) => [row.within === 'thread' ? 'its own thread' : row.targets.join(', '), ...row.narrower].join('; '),
      flexible: true,
    },
  ])
  const none = paint.dim('It may do nothing: spec.tools.actions is empty.')
  return [head, bounds, actions.length > 0 ? grants : none].join('\n\n')
}
