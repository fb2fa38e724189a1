import { openClient } from '../client.ts'
import type { CommandModule } from '../main.ts'
import type { DoctorReport } from '../../http/doctor.ts'
import { paint } from '../print.ts'

export const doctorCommand: CommandModule = (program, context) => {
  program
    .command('doctor')
    .description('check everything that can be checked, and say how to fix what is wrong')
    .action(async () => {
      const { settings, show } = context()
      await using client = await openClient(settings)
      const report = await client.get<DoctorReport>('/api/v1/doctor')
      show(report, () => human(report))
      if (!report.ok) process.exitCode = 1
    })
}

function human(report: DoctorReport): string {
  const sign = { ok: paint.green('✓'), warning: paint.yellow('!'), problem: paint.red('✗') }
  return report.checks
    .map(
      (check) =>
        `${sign[check.verdict]} ${check.name}: ${check.finding}${check.fix ? `\n  ${paint.dim(check.fix)}` : ''}`,
    )
    .join('\n')
}
