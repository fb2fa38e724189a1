import { pino } from 'pino'
import type { Settings } from '../config/settings.ts'

/** JSON lines on stderr, so that stdout stays for what a command prints. Header names that carry secrets never pass. */
export function logger(settings: Pick<Settings, 'logLevel'>) {
  return pino(
    {
      level: settings.logLevel,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: {
        paths: [
          'req.headers.authorization',
          'req.headers.cookie',
          'headers.authorization',
          'headers.cookie',
          '*.token',
          '*.secret',
          '*.apiKey',
        ],
        censor: '[secret]',
      },
    },
    pino.destination({ fd: 2, sync: false }),
  )
}

export type Logger = ReturnType<typeof logger>
