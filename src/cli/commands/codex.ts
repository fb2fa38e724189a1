import { codexUrl } from '../../processes/codex-url.ts'
import type { CommandModule } from '../main.ts'
import { paint, plural } from '../print.ts'
import { codexExplainCommand } from './codex-explain.ts'
import { codexLockCommand } from './codex-lock.ts'

export const codexCommand: CommandModule = (program, context) => {
  const codex = program.command('codex').description('agents, prompts, routing and policies as files in Git')
  codex
    .command('init [folder]')
    .description('start your own Codex from the sample, as a Git repository')
    .action(async (folder = 'guild-codex') => {
      const { initCodex } = await import('../../codex/init.ts')
      const { show } = context()
      const made = await initCodex(folder)
      show(made, () =>
        [
          `${paint.green('Made')} ${made.folder} with ${plural(made.files, 'file')}, committed as ${made.commit.slice(0, 12)}.`,
          '',
          `  CODEX_URL=${made.folder} guild up      ${paint.dim('serve it; a commit is live within seconds')}`,
          `  guild codex lint ${made.folder}        ${paint.dim('check it; run it in your CI')}`,
        ].join('\n'),
      )
    })
  codex
    .command('lint [codex]')
    .description('validate a Codex as a whole, file:line, and run its own tests')
    .option(
      '--base <commit>',
      'compare versions with this branch or commit, e.g. origin/main; default: the commit before',
    )
    .action(async (url: string | undefined, { base }: { readonly base?: string }) => {
      const { lintCodex } = await import('../../codex/lint.ts')
      const { githubActionTypes } = await import('../../actions/targets/github.ts')
      const actionTypes = githubActionTypes.map(({ type }) => type)
      const { settings, show } = context()
      const result = await lintCodex(url ?? codexUrl(settings), {
        home: settings.home,
        actionTypes,
        ...(base !== undefined && { base }),
      })
      const errors = result.problems.filter((one) => one.severity === 'error')
      show(result, () => {
        const lines = result.problems.map(
          (one) =>
            `${one.file}:${one.line} ${one.severity === 'error' ? paint.red('error') : paint.yellow('warning')} ${one.message}`,
        )
        const verdict =
          errors.length > 0
            ? paint.red(`${plural(errors.length, 'error')}; this commit would not serve.`)
            : paint.green(
                `${result.commit.slice(0, 12)} is valid: ${plural(result.agents, 'agent')}, ${plural(result.tests, 'test')} passed.`,
              )
        const compared = result.comparedWith
          ? `Versions compared with ${result.comparedWith.slice(0, 12)}.`
          : 'Versions were compared with nothing: there is no earlier commit here that could serve.'
        return [...lines, verdict, paint.dim(compared)].join('\n')
      })
      if (errors.length > 0) process.exitCode = 1
    })
  codexLockCommand(codex, context)
  codexExplainCommand(codex, context)
}
